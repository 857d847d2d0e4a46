"""The difference of two AUCs on the same examples."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reports.stats.difference import Difference, gaussian


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


def auc_difference(
    new: NDArray[np.floating], old: NDArray[np.floating], member: NDArray[np.bool_]
) -> Difference:
    """Difference of two AUCs: scores (n,), higher means member.

    DeLong, DeLong & Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
    characteristic curves", Biometrics 44 (1988). ``n`` is the smaller class's count, which limits what can be
    known. Raises ValueError with fewer than two of either kind.
    """
    return from_parts([a - b for a, b in zip(placements(new, member), placements(old, member), strict=True)])


def from_parts(parts: Sequence[NDArray[np.float64]]) -> Difference:
    """The difference whose contributions by member and by non-member are given, or are means over models."""
    value = float(parts[0].mean())
    variance = float(sum(part.var(ddof=1) / len(part) for part in parts))
    return Difference(value, min(map(len, parts)), gaussian(value, variance), parts=tuple(parts))
