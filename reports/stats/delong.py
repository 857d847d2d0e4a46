"""The difference of two AUCs on the same examples."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from reports.stats.difference import Difference

_Arm = tuple[NDArray[np.float64], ...]
"""Contributions of members and of non-members to one AUC."""
_GRID = np.linspace(-1, 1, 401)
_NONE = 1e-300
"""A variance of nothing, by which one may divide."""


class _Arithmetic(NamedTuple):
    """What the statistic is worked out with: numpy’s for an array; for a number Python’s, which is faster."""

    most: Callable[[Any, Any], Any]
    least: Callable[[Any, Any], Any]
    root: Callable[[Any], Any]
    sign: Callable[[Any], Any]


_ARRAY = _Arithmetic(np.maximum, np.minimum, np.sqrt, np.sign)
_NUMBER = _Arithmetic(max, min, math.sqrt, lambda x: (x > 0) - (x < 0))


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

    DeLong's test (DeLong, DeLong & Clarke-Pearson, Biometrics 44, 1988) takes its variance where the AUCs
    were found, and knows neither their skewness nor how unsure that variance is: near 0.93 it passes up to
    7% for 2.5%. Here the weaker of two statistics counts (:class:`_Moved`), by Student's law with degrees of
    freedom from the contributions' kurtosis (:func:`_freedom`). ``benchmarks/auc_difference.py`` has the
    error rates.
    """
    parts = tuple(a - b for a, b in zip(new, old, strict=True))
    moved, freedom = _Moved(new, old, parts), _freedom(parts)

    def score(delta: float) -> float:
        # By the lower tail, where a p-value near 0 keeps its digits.
        z = float(special.ndtri(special.stdtr(freedom, -moved.weakest(delta))))
        return -z if delta < moved.value else z

    n = min(map(len, parts))
    return Difference(moved.value, n, score, parts=parts, arms=(tuple(new), tuple(old)))


class _Moved:
    """How far a difference lies from what it may truly be, in standard errors as they would be there.

    The variance: each AUC's part of DeLong's is scaled by A(1 − A) from where it was found to where it would
    lie. Which of the two lies elsewhere is not known: all of the way by one, by the other, or half by each,
    the largest variance counts, and DeLong's own where that is larger. The skewness: DeLong's statistic by
    Hall's transformation (On the removal of skewness by transformation, JRSS B 54, 1992).
    """

    def __init__(self, new: _Arm, old: _Arm, parts: _Arm) -> None:
        self._auc = float(new[0].mean()), float(old[0].mean())
        self.value = self._auc[0] - self._auc[1]
        self._own, self._lean = _variance(parts), _skewness(parts)
        a, b = math.sqrt(_variance(new)), math.sqrt(_variance(old))
        self._unit = tuple(
            s / math.sqrt(_room(auc, _NUMBER)) for s, auc in zip((a, b), self._auc, strict=True)
        )
        self._correlation = (a * a + b * b - self._own) / (2 * a * b) if a * b > 0 else 0.0
        far, first = self._distance(_GRID, _ARRAY), int(np.searchsorted(_GRID, self.value))
        below = np.minimum.accumulate(far[:first])
        above = np.minimum.accumulate(far[first:][::-1])[::-1]
        self._far = np.concatenate([below, above]).tolist()

    def weakest(self, delta: float) -> float:
        """The distance from ``delta``, at least 0, or from what lies beyond it if that is nearer.

        For what is farther is no likelier, even where an AUC at 1 leaves the other's variance alone.
        """
        place = int(np.searchsorted(_GRID, delta)) - (delta < self.value)
        beyond = self._far[place] if 0 <= place < len(_GRID) else math.inf
        return min(float(self._distance(float(delta), _NUMBER)), beyond)

    def _distance(self, delta: Any, by: _Arithmetic) -> Any:
        """From a number, or from each of an array."""
        beyond = self.value - delta
        t = abs(beyond) / by.root(by.most(self._variance_at(delta, by), _NONE))
        if self._own > 0:
            plain, lean = beyond / math.sqrt(self._own), self._lean
            hall = plain + lean * plain**2 / 3 + lean**2 * plain**3 / 27 + lean / 6
            t = by.least(t, by.most(0.0, by.sign(beyond) * hall))
        return t

    def _variance_at(self, delta: Any, by: _Arithmetic) -> Any:
        """The variance where new minus old is ``delta``."""
        new, old = self._auc
        way, found = delta - self.value, self._own
        for share in (0.0, 0.5, 1.0):
            a = self._unit[0] * by.root(_room(new + share * way, by))
            b = self._unit[1] * by.root(_room(old - (1 - share) * way, by))
            found = by.most(found, a * a + b * b - 2 * self._correlation * a * b)
        return found


def _room(auc: Any, by: _Arithmetic) -> Any:
    """A(1 − A), to which an AUC's variance is about proportional; kept from 0."""
    auc = by.least(by.most(auc, 1e-3), 1 - 1e-3)
    return auc * (1 - auc)


def _variance(parts: _Arm) -> float:
    """DeLong's variance of the mean of contributions."""
    return float(sum(part.var(ddof=1) / len(part) for part in parts))


def _freedom(parts: _Arm) -> float:
    """Degrees of freedom 2V² / Var V of a variance V, at most the smaller class's n − 1, at least 1.

    The variance of each class's s² is (μ₄ − s⁴(n − 3)/(n − 1))/n: a few large contributions among many small
    ones tell little of their spread.
    """
    variance, doubt = _variance(parts), 0.0
    for part in parts:
        n, square = len(part), float(part.var(ddof=1))
        apart = np.square(part - part.mean())
        fourth = float(np.square(apart).mean())
        doubt += max(0.0, fourth - square**2 * (n - 3) / (n - 1)) / n**3
    most = min(map(len, parts)) - 1.0
    return max(1.0, min(most, 2 * variance**2 / doubt)) if doubt > 0 else most


def _skewness(parts: _Arm) -> float:
    """Skewness of the mean of contributions; 0 where it cannot be told."""
    third = 0.0
    for part in parts:
        if (n := len(part)) > 2:
            apart = part - part.mean()
            third += float((np.square(apart) * apart).sum()) / ((n - 1) * (n - 2) * n)
    variance = _variance(parts)
    return third / variance**1.5 if variance > 0 else 0.0
