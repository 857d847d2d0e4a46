"""How often tests of a paired AUC difference err at a margin, on scores whose true AUCs are known.

    python benchmarks/auc_difference.py [--repeats 4000] [--members 50,100,300] [--auc 0.93]

Two attacks' scores are normal and correlated; the new AUC lies exactly a margin above the old one. Prints, of
2.5% each, how often a test wrongly shows the rise to be smaller (a wrong pass) and larger (a wrong fail): by
DeLong's variance, and by the one that is used (``reports/stats/delong.py``). Then how often the test that is
used passes where there is no rise. Exits with 1 where it passes or fails wrongly more often than 2.5%, beyond
what chance would give once in a thousand such tables.
"""

import argparse
import itertools
import math
import sys

import numpy as np
from scipy import special, stats

from reports.stats.delong import auc_difference
from reports.stats.difference import TAIL

SIZES = ((50, 50), (100, 100), (100, 1697), (300, 300))
"""Members and non-members."""
CHANCE = 1e-3
"""What a table without an error too many may be called wrong by."""


def rates(
    members: int, others: int, auc: float, margin: float, rise: float, alike: float, repeats: int
) -> list[float]:
    """Shares of passes and fails: DeLong's two, then ours. ``alike``: correlation of the scores."""
    rng = np.random.default_rng(0)
    member = np.arange(members + others) < members
    shifts = [math.sqrt(2) * float(special.ndtri(a)) for a in (auc, auc + rise)]
    said = np.zeros(4)
    z = float(special.ndtri(1 - TAIL))
    for _ in range(repeats):
        base, own = rng.normal(size=(2, len(member)))
        old = base + shifts[0] * member
        new = alike * base + math.sqrt(1 - alike**2) * own + shifts[1] * member
        found = auc_difference(new, old, member)
        spread = math.sqrt(sum(part.var(ddof=1) / len(part) for part in found.parts))
        beyond = found.value - margin
        said += (
            beyond < -z * spread,
            beyond > z * spread,
            found.below(margin) < TAIL,
            found.above(margin) < TAIL,
        )
    return [float(rate) for rate in said / repeats]


def main() -> None:
    """Print a row a setting."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=4000, help="draws a setting (4000)")
    parser.add_argument("--members", default="50,100,300", help="comma-separated (50,100,300)")
    parser.add_argument("--auc", default="0.5,0.65,0.8,0.93", help="comma-separated (0.5,0.65,0.8,0.93)")
    options = parser.parse_args()
    wanted, aucs = {int(m) for m in options.members.split(",")}, [float(a) for a in options.auc.split(",")]
    cells = list(itertools.product(SIZES, aucs, (0.02, 0.05), (0.5, 0.9, 0.98)))
    most = float(stats.binom.isf(CHANCE / (2 * len(cells)), options.repeats, TAIL)) / options.repeats
    print(
        f"{'members':>8}{'others':>8}{'AUC':>6}{'margin':>8}{'alike':>7}{'DeLong':>16}{'used':>16}{'power':>8}"
    )
    bad, worst = 0, 0.0
    for (m, n), auc, margin, alike in cells:
        if m not in wanted:
            continue
        wrong = rates(m, n, auc, margin, margin, alike, options.repeats)
        power = rates(m, n, auc, margin, 0.0, alike, max(1, options.repeats // 10))[2]
        worst = max(worst, *wrong[2:])
        bad += sum(rate > most for rate in wrong[2:])
        found = "".join(f"{rate:>8.1%}" for rate in (*wrong, power))
        print(f"{m:>8}{n:>8}{auc:>6g}{margin:>8g}{alike:>7g}{found}", flush=True)
    print(f"worst {worst:.1%} of 2.5%; {bad} beyond {most:.1%}, which chance does not explain")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
