"""Intervals where copies of an attacker and examples both vary: some copies, each judged on the same n."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from attacks.intervals import CONFIDENCE, Estimate, clopper_pearson_bounds, proportion

TAIL = (1 - CONFIDENCE) / 2


def crossed(hits: NDArray[np.bool_]) -> Estimate:
    """The mean of ``hits`` (copies, n) with a 95% interval for a new copy's expected rate on new examples.

    One copy: the exact interval of its rate, which knows nothing of other copies. More: variance among the
    copies' rates and among the examples' rates add up (two-way random effects; what copies and examples do
    together is counted in both, so that the sum errs upwards), and the interval is Clopper–Pearson's for as
    many independent examples as that is worth, with Welch's degrees of freedom (Korn & Graubard 1998).
    ``n`` is the number of examples. Raises InsufficientDataError if there are none.
    """
    copies, n = hits.shape
    if copies == 1 or n < 2:
        return proportion(int(hits[0].sum()), n)
    value = float(hits.mean())
    variance, freedom = _variance(hits.astype(float))
    effective = float(n)
    if variance > 0 and 0 < value < 1:
        shorter = stats.t.isf(TAIL, n - 1) / stats.t.isf(TAIL, freedom)
        effective = min(value * (1 - value) / variance, copies * n) * float(shorter) ** 2
    low, high = clopper_pearson_bounds(value * effective, effective, TAIL)
    return Estimate(value, min(low, value), max(high, value), n)


def gain(hits: NDArray[np.bool_], without: NDArray[np.bool_]) -> Estimate:
    """The mean of ``hits`` − ``without`` (both copies × n, paired) with a 95% interval, in [−1, 1].

    As :func:`crossed`; half an example is added to each of the four outcomes of a pair, which keeps the
    interval honest where few pairs differ (Agresti & Min 2005). Raises ValueError if there are no examples.
    """
    copies, n = hits.shape
    if n == 0:
        raise ValueError("no examples to take a difference on")
    differ = hits.astype(float) - without.astype(float)
    value = float(differ.mean())
    added = np.concatenate([differ.mean(axis=0), [1.0, -1.0, 0.0, 0.0]])
    weight = np.concatenate([np.ones(n), np.full(4, 0.5)])
    centre = float(np.average(added, weights=weight))
    variance = float(np.average((added - centre) ** 2, weights=weight)) / (n + 2)
    freedom = math.inf
    if copies > 1:
        own = float(differ.mean(axis=1).var(ddof=1)) / copies
        freedom = (variance + own) ** 2 * (copies - 1) / own**2 if own > 0 else math.inf
        variance += own
    reach = float(stats.t.isf(TAIL, freedom)) * math.sqrt(variance)
    return Estimate(value, max(-1.0, min(centre - reach, value)), min(1.0, max(centre + reach, value)), n)


def crossing(points: Sequence[tuple[int, float]], level: float) -> float | None:
    """Where a curve through (queries, fidelity), straight over the logarithm of the queries, first reaches
    ``level``; the first point if it is there already, None if it never does."""
    before: tuple[int, float] | None = None
    for queries, fidelity in sorted(points):
        if fidelity >= level:
            if before is None:
                return float(queries)
            share = (level - before[1]) / (fidelity - before[1])
            return float(before[0] * (queries / before[0]) ** share)
        before = (queries, fidelity)
    return None


def _variance(hits: NDArray[np.float64]) -> tuple[float, float]:
    """Of the grand mean, and its degrees of freedom."""
    copies, n = hits.shape
    parts = (float(hits.mean(axis=1).var(ddof=1)) / copies, float(hits.mean(axis=0).var(ddof=1)) / n)
    whole = sum(parts)
    if whole == 0:
        return 0.0, 1.0
    return whole, whole**2 / (parts[0] ** 2 / (copies - 1) + parts[1] ** 2 / (n - 1))
