"""Paired differences of two models on the same examples, and their pooling over training seeds.

Arrays only: which rows are compared is decided in :mod:`reports.stats.compare`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

LEVEL = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """New minus old, with a 95% interval and a two-sided p-value for no difference.

    ``parts``: per-example contributions, one array per group of examples (one for a rate; members and
    non-members for an AUC); :func:`pool` needs them to see what seeds have in common.
    """

    value: float
    low: float
    high: float
    p: float
    variance: float
    n: int
    parts: tuple[NDArray[np.float64], ...] = ()


def rate(new: NDArray[np.bool_], old: NDArray[np.bool_]) -> Difference:
    """Difference of two rates over the same n examples (bool arrays (n,), n ≥ 1).

    Wald interval after adding half an observation to each cell of the 2×2 table of pairs: Agresti & Min,
    Simple improved confidence intervals for comparing matched proportions, Statistics in Medicine 24 (2005).
    Raises ValueError if the lengths differ or are 0.
    """
    if new.shape != old.shape or new.ndim != 1 or not len(new):
        raise ValueError(f"not pairs: {new.shape} against {old.shape}")
    each = new.astype(float) - old.astype(float)
    gained, lost = int((each > 0).sum()), int((each < 0).sum())
    n = len(each)
    centre = (gained - lost) / (n + 2)
    variance = ((gained + lost + 1) - (gained - lost) ** 2 / (n + 2)) / (n + 2) ** 2
    low, high, p = _interval(centre, variance, math.inf)
    return Difference(float(each.mean()), max(low, -1.0), min(high, 1.0), p, variance, n, (each,))


def placements(score: NDArray[np.floating], member: NDArray[np.bool_]) -> tuple[NDArray[np.float64], ...]:
    """DeLong's structural components, by ranks (Sun & Xu, IEEE Signal Processing Letters 21, 2014).

    For each member the share of non-members that it outranks, and for each non-member the share of members
    that outrank it; ties count half. Raises ValueError with fewer than two of either.
    """
    m, n = int(member.sum()), int((~member).sum())
    if m < 2 or n < 2:
        raise ValueError(f"an AUC's interval needs two of each: {m} members, {n} non-members")
    ranks = _ranks(score)
    above = (ranks[member] - _ranks(score[member])) / n
    below = 1 - (ranks[~member] - _ranks(score[~member])) / m
    return above, below


def _ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Ranks from 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (counts.cumsum() - (counts - 1) / 2)[place]
    return ranks


def auc(new: NDArray[np.floating], old: NDArray[np.floating], member: NDArray[np.bool_]) -> Difference:
    """Difference of two AUCs on the same examples: scores (n,), higher means member.

    DeLong, DeLong & Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
    characteristic curves", Biometrics 44 (1988). Raises ValueError with fewer than two of either kind.
    """
    parts = tuple(a - b for a, b in zip(placements(new, member), placements(old, member), strict=True))
    value = float(parts[0].mean())
    variance = float(sum(part.var(ddof=1) / len(part) for part in parts))
    low, high, p = _interval(value, variance, math.inf)
    return Difference(value, max(low, -1.0), min(high, 1.0), p, variance, len(member), parts)


def pool(differences: Sequence[Difference]) -> Difference:
    """The mean difference over training seeds, for new seeds *and* new examples.

    Seeds and examples are crossed random effects (every seed is measured on the same examples). The variance
    of the mean is S²/k + Σ max(0, MS_examples − MS_interaction)/(k·m), with S² the variance of the k seeds'
    differences, and the sum over groups of m examples: the second term is what the seeds share and their
    spread cannot show. The interval is Student's with Satterthwaite's degrees of freedom: near k − 1 where
    seeds dominate, large where examples do. (Searle, Casella & McCulloch, Variance Components, 1992, ch. 4;
    the same model as Obuchowski & Rockette 1995 for readers × cases.) It is never taken as smaller than if
    all k·n pairs were independent. One seed: its own paired interval, which knows nothing of training noise.

    Where seeds were measured on different numbers of examples, the second term is the mean within-seed
    variance, which is too wide rather than too narrow. Raises ValueError on an empty sequence.
    """
    if not differences:
        raise ValueError("nothing to pool")
    if len(differences) == 1:
        return differences[0]
    k = len(differences)
    values = np.array([d.value for d in differences])
    within = float(np.mean([d.variance for d in differences]))
    seeds = float(values.var(ddof=1)) / k
    if len({tuple(len(part) for part in d.parts) for d in differences}) == 1:
        shared = sum(_shared(np.stack(group)) for group in zip(*(d.parts for d in differences), strict=True))
    else:
        shared = within
    variance = max(seeds + shared, within / k)
    freedom = (k - 1) * (variance / seeds) ** 2 if seeds > 0 else math.inf
    low, high, p = _interval(float(values.mean()), variance, freedom)
    n = min(d.n for d in differences)
    return Difference(float(values.mean()), max(low, -1.0), min(high, 1.0), p, variance, n)


def _shared(cells: NDArray[np.float64]) -> float:
    """Variance of the mean of seeds × examples that the examples add beyond the seeds' own spread."""
    k, m = cells.shape
    if m < 2:
        return 0.0
    rows, columns = cells.mean(axis=1, keepdims=True), cells.mean(axis=0, keepdims=True)
    residual = cells - rows - columns + cells.mean()
    interaction = float((residual**2).sum()) / ((k - 1) * (m - 1))
    return float(max(0.0, k * float(columns.var(ddof=1)) - interaction) / (k * m))


def _interval(centre: float, variance: float, freedom: float) -> tuple[float, float, float]:
    if variance == 0:
        return centre, centre, 1.0 if centre == 0 else 0.0
    spread = math.sqrt(variance)
    t = abs(centre) / spread
    # scipy.special, since scipy.stats takes longer to import than a report to render.
    if math.isfinite(freedom):
        half, p = special.stdtrit(freedom, 0.5 + LEVEL / 2) * spread, 2 * special.stdtr(freedom, -t)
    else:
        half, p = special.ndtri(0.5 + LEVEL / 2) * spread, 2 * special.ndtr(-t)
    return centre - float(half), centre + float(half), float(p)


def holm(p: Sequence[float]) -> list[float]:
    """P-values adjusted for their number, in the given order (Holm, Scand. J. Statistics 6, 1979)."""
    adjusted = [0.0] * len(p)
    largest = 0.0
    for place, i in enumerate(sorted(range(len(p)), key=lambda j: p[j])):
        largest = max(largest, min(1.0, (len(p) - place) * p[i]))
        adjusted[i] = largest
    return adjusted
