"""How often each interval holds the truth.

    python benchmarks/coverage.py

Rates, medians and the mean of two rates are summed over every outcome, so that their figures are exact. The
others are simulated, and the lowest of some dozens of simulated figures is shown. It exits with 1 if an
interval holds the truth in less than 94% of samples. With ``--quick`` the draws are few, and a figure must be
below that by more than its own noise.
"""

import argparse
import sys
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from attacks.intervals import auc, balanced_accuracy, median, proportion, tpr_at_fpr

LEAST = 0.94
DRAWS, QUICK = 4000, 100
SIZES = (100, 300, 1000)
RATES = np.arange(1, 100) / 100
AREAS = (0.5, 0.7, 0.9, 0.97, 0.99, 0.999)

Row = tuple[str, str, float, str, float]
"""Figure, size, lowest coverage, where, mean width there."""
Draw = Callable[[np.random.Generator, int, int], tuple[NDArray[np.float64], NDArray[np.float64]]]


def rates(n: int) -> Row:
    """A rate, exactly."""
    found = [proportion(k, n) for k in range(n + 1)]
    low, high = np.array([f.low for f in found]), np.array([f.high for f in found])
    chances = stats.binom.pmf(np.arange(n + 1), n, RATES[:, None])
    held = (chances * ((low <= RATES[:, None]) & (RATES[:, None] <= high))).sum(axis=1)
    worst = int(held.argmin())
    width = float((chances[worst] * (high - low)).sum())
    return "a rate", f"n = {n}", float(held[worst]), f"p = {RATES[worst]:.2f}", width


def balanced(m: int, n: int) -> Row:
    """Balanced accuracy, exactly, over pairs of true rates; its joined bounds as the function gives them."""
    sides = [np.array([(f.low, f.value, f.high) for f in map(proportion, range(s + 1), [s] * (s + 1))])
             for s in (m, n)]  # fmt: skip
    (low_a, a, high_a), (low_b, b, high_b) = (side.T for side in sides)
    low = (a[:, None] + b) / 2 - np.hypot((a - low_a)[:, None], b - low_b) / 2
    high = (a[:, None] + b) / 2 + np.hypot((high_a - a)[:, None], high_b - b) / 2
    check = balanced_accuracy(np.arange(m + n) % 3 == 0, np.arange(m + n) < m)
    hits = int((np.arange(m) % 3 == 0).sum()), int((np.arange(m, m + n) % 3 != 0).sum())
    if not np.allclose((low[hits], high[hits]), (check.low, check.high)):
        raise AssertionError("the sum is not over the intervals that are reported")
    worst = (2.0, "", 0.0)
    grid = np.concatenate(([0.01, 0.02, 0.03, 0.05], np.arange(1, 10) / 10, [0.95, 0.97, 0.98, 0.99]))
    for p in grid:
        for q in grid:
            truth = (p + q) / 2
            chances = np.outer(
                stats.binom.pmf(np.arange(m + 1), m, p), stats.binom.pmf(np.arange(n + 1), n, q)
            )
            held = float(chances[(low - 1e-12 <= truth) & (truth <= high + 1e-12)].sum())
            width = float((chances * (np.minimum(high, 1) - np.maximum(low, 0))).sum())
            worst = min(worst, (held, f"rates {p:g} and {q:g}", width))
    return "balanced accuracy", f"{m} + {n}", *worst


def medians(n: int) -> Row:
    """The median of continuous values, exactly: how many of n lie below it is Binomial(n, ½)."""
    found = median(np.arange(1, n + 1))
    held = stats.binom.cdf(found.high - 1, n, 0.5) - stats.binom.cdf(found.low - 1, n, 0.5)
    return "a median", f"n = {n}", float(held), "any continuous values", float("nan")


def worlds(area: float) -> Iterator[tuple[str, Draw]]:
    """Scores of members and others whose AUC is ``area``: like normals, unlike ones, and a few that leak."""
    shift, odds, stray = stats.norm.ppf(area), area / (1 - area), 2 * (1 - area)
    yield "normals", lambda rng, m, n: (rng.normal(shift * 2**0.5, 1, m), rng.normal(0, 1, n))
    yield "wide members", lambda rng, m, n: (rng.normal(shift * 10**0.5, 3, m), rng.normal(0, 1, n))
    yield "wide others", lambda rng, m, n: (rng.normal(shift * 10**0.5, 1, m), rng.normal(0, 3, n))
    yield "exponentials", lambda rng, m, n: (rng.exponential(odds, m), rng.exponential(1, n))
    yield (
        "stray members",
        lambda rng, m, n: (np.where(rng.random(m) < stray, rng.random(m), 2), rng.random(n)),
    )
    yield "lost members", lambda rng, m, n: (np.where(rng.random(m) < 1 - area, -1.0, 2), rng.random(n))


def areas(m: int, n: int, draws: int) -> Row:
    """An AUC: the worst of all worlds."""
    rng, member, worst = np.random.default_rng(m + n), np.arange(m + n) < m, (2.0, "", 0.0)
    for area in AREAS:
        for name, draw in worlds(area):
            found = [auc(np.concatenate(draw(rng, m, n)), member) for _ in range(draws)]
            held = float(np.mean([f.low <= area <= f.high for f in found]))
            width = float(np.mean([f.high - f.low for f in found]))
            worst = min(worst, (held, f"{name}, AUC {area:g}", width))
    return "AUC", f"{m} + {n}", *worst


def low_false_positives(n: int, fpr: float, draws: int) -> Row:
    """A true-positive rate at a false-positive rate; raises if it is above that without a leak."""
    rng, member, worst = np.random.default_rng(n), np.arange(2 * n) < n, (2.0, "", 0.0)
    for shift in (0.0, 1.0, 2.5):
        truth = stats.norm.sf(stats.norm.isf(fpr) - shift)
        scores = [np.concatenate((rng.normal(shift, 1, n), rng.normal(0, 1, n))) for _ in range(draws)]
        found = [tpr_at_fpr(each, member, fpr) for each in scores]
        held = float(np.mean([f.low <= truth <= f.high for f in found]))
        width = float(np.mean([f.high - f.low for f in found]))
        worst = min(worst, (held, f"true rate {truth:.2g}", width))
        values = np.array([f.value for f in found])
        if shift == 0 and values.mean() > fpr + 3 * values.std() / draws**0.5:
            raise AssertionError(f"without a leak the mean estimate is {values.mean():.4f}, above {fpr}")
    return f"true positives at {fpr:.0%} false ones", f"{n} + {n}", *worst


def table(draws: int) -> list[Row]:
    """Every figure at every size."""
    rows = [rates(n) for n in SIZES] + [medians(n) for n in SIZES]
    rows += [balanced(n, n) for n in SIZES] + [balanced(50, 1000)]
    rows += [areas(n, n, draws) for n in SIZES] + [areas(50, 50, draws), areas(50, 1000, draws)]
    return rows + [low_false_positives(n, 0.01, draws) for n in (500, 1000)]


def main() -> int:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} draws a world in place of {DRAWS:,}")
    quick = parser.parse_args().quick
    rows = table(QUICK if quick else DRAWS)
    print("| figure | examples | lowest coverage | where | mean width there |\n|---|---|---|---|---|")
    for figure, size, held, where, width in rows:
        print(f"| {figure} | {size} | {held:.3f} | {where} | {'' if np.isnan(width) else f'{width:.3f}'} |")
    noise = 4 * float(np.sqrt(LEAST * (1 - LEAST) / QUICK)) if quick else 0.0
    return int(any(held < LEAST - noise for _, _, held, *_ in rows))


if __name__ == "__main__":
    sys.exit(main())
