"""The difference of two AUCs on the same examples."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from reports.stats.difference import Difference

_Arm = tuple[NDArray[np.float64], ...]
"""Contributions of members and of non-members to one AUC."""


def placements(score: NDArray[np.floating], member: NDArray[np.bool_]) -> _Arm:
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


def auc_difference(
    new: NDArray[np.floating], old: NDArray[np.floating], member: NDArray[np.bool_]
) -> Difference:
    """Difference of two AUCs: scores (n,), higher means member; :func:`from_arms` has the test.

    ``n`` is the smaller class's count, which limits what can be known. Raises ValueError with fewer than two
    of either kind.
    """
    return from_arms(placements(new, member), placements(old, member))


def from_arms(new: _Arm, old: _Arm) -> Difference:
    """The difference of two AUCs whose contributions by member and non-member are given, or their means.

    At margin δ the variance is DeLong's (DeLong, DeLong & Clarke-Pearson, Biometrics 44, 1988), each AUC's
    part scaled by A(1 − A) from where it was found to where it would lie if the difference were δ, half of
    the way each; the larger of that and DeLong's own counts. Student's law with the smaller class's degrees
    of freedom. DeLong's alone takes the variance where the AUCs were found: near 0.93 it passes
    up to 7% for 2.5% (``benchmarks/auc_difference.py``).
    """
    value_new, value_old = float(new[0].mean()), float(old[0].mean())
    parts = tuple(a - b for a, b in zip(new, old, strict=True))
    value, own = value_new - value_old, _variance(parts)
    n = min(map(len, parts))
    spread_new, spread_old = math.sqrt(_variance(new)), math.sqrt(_variance(old))
    both = spread_new * spread_old
    correlation = (spread_new**2 + spread_old**2 - own) / (2 * both) if both > 0 else 0.0
    middle = (value_new + value_old) / 2

    def score(delta: float) -> float:
        a = spread_new * math.sqrt(_room(middle + delta / 2) / _room(value_new))
        b = spread_old * math.sqrt(_room(middle - delta / 2) / _room(value_old))
        variance = max(own, a * a + b * b - 2 * correlation * a * b)
        if variance <= 0:
            return math.copysign(math.inf, value - delta) if value != delta else 0.0
        t = (value - delta) / math.sqrt(variance)
        # By the lower tail, where a p-value near 0 keeps its digits.
        z = float(special.ndtri(special.stdtr(n - 1, -abs(t))))
        return -z if t > 0 else z

    return Difference(value, n, score, parts=parts, arms=(tuple(new), tuple(old)))


def _room(auc: float) -> float:
    """A(1 − A), to which an AUC's variance is about proportional; kept from 0."""
    auc = min(max(auc, 1e-3), 1 - 1e-3)
    return auc * (1 - auc)


def _variance(parts: _Arm) -> float:
    """DeLong's variance of the mean of contributions."""
    return float(sum(part.var(ddof=1) / len(part) for part in parts))
