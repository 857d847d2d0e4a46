"""Intervals for the figures of attacks: rates, areas under the ROC curve, true-positive rates at low FPR."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
MIN_FALSE_POSITIVES = 5
"""A rate at a fixed FPR rests on the few non-members above the threshold: with fewer it is noise."""

Scores = NDArray[np.float64]


class InsufficientDataError(ValueError):
    """The data cannot support the figure asked for; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95% interval, ``low <= value <= high``, from ``n`` examples."""

    value: float
    low: float
    high: float
    n: int


def _estimate(value: float, low: float, high: float, n: int) -> Estimate:
    """Clip to [0, 1] and absorb rounding, so that the value never lies a last bit outside its interval."""
    value = min(max(value, 0.0), 1.0)
    return Estimate(value, max(0.0, min(low, value)), min(1.0, max(high, value)), n)


def proportion(successes: int, n: int) -> Estimate:
    """Rate of successes with the exact interval: each bound fails with probability at most 2.5%, whatever the
    rate and ``n`` (Clopper & Pearson 1934). Wilson's interval is shorter and fails near 0 and 1: of 100
    examples at a rate of 0.99 it holds the truth in 92% of samples, and misses on one side alone.

    Raises InsufficientDataError if ``n`` is zero.
    """
    if n < 1:
        raise InsufficientDataError("no examples to take a rate of")
    low, high = clopper_pearson_bounds(int(successes), int(n), (1 - CONFIDENCE) / 2)
    return _estimate(successes / n, low, high, int(n))


def clopper_pearson_bounds(successes: float, n: float, tail: float) -> tuple[float, float]:
    """Bounds on a rate that each fail with probability at most ``tail`` (Clopper & Pearson 1934).

    ``successes`` and ``n`` need not be whole: the bounds go through the beta distribution.
    """
    low = 0.0 if successes <= 0 else float(stats.beta.ppf(tail, successes, n - successes + 1))
    high = 1.0 if successes >= n else float(stats.beta.isf(tail, successes + 1, n - successes))
    return low, high


def median(values: NDArray[np.generic]) -> Estimate:
    """The median with its exact interval: of n sorted values the r-th and the (n + 1 − r)-th, r being the
    largest with P(Binomial(n, ½) < r) ≤ 2.5%.

    Raises InsufficientDataError below 6 values, which give no such interval.
    """
    ordered = np.sort(np.asarray(values).astype(np.float64))
    n = len(ordered)
    if n < 6:
        raise InsufficientDataError(f"a 95% interval of a median needs at least 6 values; there are {n}")
    rank = int(stats.binom.ppf((1 - CONFIDENCE) / 2, n, 0.5))
    return Estimate(float(np.median(ordered)), float(ordered[rank - 1]), float(ordered[n - rank]), n)


def auc(scores: NDArray[np.generic], member: NDArray[np.bool_]) -> Estimate:
    """Area under the ROC curve: P(score of a member > score of a non-member), ties counting half.

    The interval is Clopper–Pearson's for as many independent pairs as the variance is worth (effective
    sample size, Korn & Graubard 1998). The variance is DeLong's (DeLong et al. 1988), from midranks (Sun & Xu
    2014). Near 0 and 1 it rests on the few examples that are out of order, and is too small if none of the
    worst was drawn; so it is mixed with the largest that an AUC can have, A(1 − A) / min(m, n) (Birnbaum &
    Klose 1957), by 1 : d, d being how many of min(m, n) pairs are expected out of order. With perfect
    separation that leaves the exact bound for min(m, n) pairs.

    ``scores``: (N,), higher for likelier members; ``member``: (N,) bool. ``n`` is the smaller side's count.
    Raises InsufficientDataError if either side is empty, ValueError if a score is NaN.
    """
    inside, outside = _sides(scores, member)
    m, n = len(inside), len(outside)
    pairs = min(m, n)
    ranks = stats.rankdata(np.concatenate((inside, outside)))
    placements_in = (ranks[:m] - stats.rankdata(inside)) / n
    placements_out = 1.0 - (ranks[m:] - stats.rankdata(outside)) / m
    value = float(placements_in.mean())
    delong = 0.0
    if pairs > 1:
        delong = float(placements_in.var(ddof=1) / m + placements_out.var(ddof=1) / n)
    effective = float(pairs)
    if delong > 0.0 and 0.0 < value < 1.0:
        trust = pairs * min(value, 1 - value)
        spread = value * (1 - value)
        effective = spread / ((trust * delong + spread / pairs) / (trust + 1))
    low, high = clopper_pearson_bounds(value * effective, effective, (1 - CONFIDENCE) / 2)
    return _estimate(value, low, high, pairs)


def balanced_accuracy(decision: NDArray[np.bool_], member: NDArray[np.bool_]) -> Estimate:
    """Mean of true-positive and true-negative rate of a decision "is a member".

    The interval joins the exact intervals of the two rates by the method of variance estimates recovery
    (Zou & Donner 2008). ``n`` is the smaller side's count. Decisions must be independent of each other: of
    a rule that was learnt elsewhere. Raises InsufficientDataError if either side is empty.
    """
    inside, outside = _sides(np.asarray(decision, dtype=bool), member)
    hit = proportion(int(inside.sum()), len(inside))
    passed = proportion(int(len(outside) - outside.sum()), len(outside))
    value = (hit.value + passed.value) / 2
    below = math.hypot(hit.value - hit.low, passed.value - passed.low) / 2
    above = math.hypot(hit.high - hit.value, passed.high - passed.value) / 2
    return _estimate(value, value - below, value + above, min(hit.n, passed.n))


def tpr_at_fpr(scores: NDArray[np.generic], member: NDArray[np.bool_], fpr: float) -> Estimate:
    """True-positive rate at the threshold that lets at most a share ``fpr`` of all non-members pass.

    The quantity is P(member's score > t), t being the (1 − fpr) quantile of the non-members' distribution. It
    is estimated at the k-th largest non-member, k = ⌊fpr (n + 1)⌋, which a new non-member exceeds with
    probability k / (n + 1) ≤ fpr: where nothing leaks, the estimate is not above ``fpr`` on average. So k − 1
    of the n at hand pass. Coverage is guaranteed at every sample size, with ties or without: t lies between
    two order statistics of the non-members but for a probability of 2.5% (binomial tails), and
    Clopper–Pearson bounds the rate of members above each but for another 2.5% (Bonferroni). ``n`` is the
    smaller side's count.

    Raises InsufficientDataError if fewer than :data:`MIN_FALSE_POSITIVES` false positives are to be expected.
    """
    if not 0.0 < fpr < 1.0:
        raise ValueError(f"fpr must lie between 0 and 1, not {fpr}")
    inside, outside = _sides(scores, member)
    n = len(outside)
    if n * fpr + 1e-9 < MIN_FALSE_POSITIVES:
        needed = math.ceil(MIN_FALSE_POSITIVES / fpr - 1e-9)
        raise InsufficientDataError(
            f"a true-positive rate at a false-positive rate of {fpr:g} needs at least {needed} non-members "
            f"({MIN_FALSE_POSITIVES} expected false positives); there are {n}"
        )
    tail = (1 - CONFIDENCE) / 4
    ordered = np.sort(outside)
    below = stats.binom(n, 1 - fpr)  # non-members at or below t
    lower_rank = int(below.ppf(tail))  # P(below <= lower_rank - 1) <= tail
    upper_rank = int(below.isf(tail)) + 1  # P(below >= upper_rank) <= tail
    m = len(inside)

    def above(rank: int) -> int:
        """Members strictly above the non-members' order statistic of that rank (1 is the smallest)."""
        if rank < 1:
            return m
        return 0 if rank > n else int((inside > ordered[rank - 1]).sum())

    value = above(n + 1 - math.floor(fpr * (n + 1) + 1e-9)) / m
    low, _ = clopper_pearson_bounds(above(upper_rank), m, tail)
    _, high = clopper_pearson_bounds(above(lower_rank), m, tail)
    return _estimate(value, low, high, min(m, n))


def _sides(scores: NDArray[np.generic], member: NDArray[np.bool_]) -> tuple[Scores, Scores]:
    """Values of members and of non-members; refuses an empty side and NaN."""
    values, member = np.asarray(scores).astype(np.float64), np.asarray(member, dtype=bool)
    if values.shape != member.shape or values.ndim != 1:
        raise ValueError(f"one value per example is needed: shapes {values.shape} and {member.shape}")
    if np.isnan(values).any():
        raise ValueError("scores contain NaN")
    inside, outside = values[member], values[~member]
    if len(inside) == 0 or len(outside) == 0:
        raise InsufficientDataError(
            f"members and non-members are both needed: {len(inside)} and {len(outside)}"
        )
    return inside, outside
