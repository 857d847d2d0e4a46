"""How often tests of a paired AUC difference err at a margin, on scores whose true AUCs are known.

    python benchmarks/auc_difference.py [--repeats 4000]

Two attacks' scores are normal and correlated; the new AUC lies exactly a margin above the old one. Prints, of
2.5% each, how often a test wrongly shows the rise to be smaller (a wrong pass) and larger (a wrong fail): by
DeLong's variance, and by the one that is used (``reports/stats/delong.py``).
"""

import argparse
import itertools
import math

import numpy as np
from scipy import special

from reports.stats.delong import auc_difference
from reports.stats.difference import TAIL


def rates(members: int, others: int, auc: float, margin: float, alike: float, repeats: int) -> list[float]:
    """Shares of wrong passes and fails: DeLong's two, then ours. ``alike``: correlation of the scores."""
    rng = np.random.default_rng(0)
    member = np.arange(members + others) < members
    shifts = [math.sqrt(2) * float(special.ndtri(a)) for a in (auc, auc + margin)]
    wrong = np.zeros(4)
    z = float(special.ndtri(1 - TAIL))
    for _ in range(repeats):
        base, own = rng.normal(size=(2, len(member)))
        old = base + shifts[0] * member
        new = alike * base + math.sqrt(1 - alike**2) * own + shifts[1] * member
        found = auc_difference(new, old, member)
        spread = math.sqrt(sum(part.var(ddof=1) / len(part) for part in found.parts))
        beyond = found.value - margin
        wrong += (
            beyond < -z * spread,
            beyond > z * spread,
            found.below(margin) < TAIL,
            found.above(margin) < TAIL,
        )
    return [float(rate) for rate in wrong / repeats]


def main() -> None:
    """Print a row a setting."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=4000, help="draws a setting (4000)")
    repeats = parser.parse_args().repeats
    print(f"{'members':>8}{'others':>8}{'AUC':>6}{'margin':>8}{'alike':>7}{'DeLong':>16}{'used':>16}")
    for (m, n), auc, margin, alike in itertools.product(
        ((50, 50), (100, 100), (100, 1697), (300, 300)),
        (0.5, 0.65, 0.8, 0.93),
        (0.02, 0.05),
        (0.5, 0.9, 0.98),
    ):
        found = "".join(f"{rate:>8.1%}" for rate in rates(m, n, auc, margin, alike, repeats))
        print(f"{m:>8}{n:>8}{auc:>6g}{margin:>8g}{alike:>7g}{found}", flush=True)


if __name__ == "__main__":
    main()
