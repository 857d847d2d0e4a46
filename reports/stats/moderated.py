"""A retraining: the difference that the method makes, for new seeds and new examples."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from reports.stats.difference import LEVEL, Difference

MOST_PRIOR = 6.0
"""Prior degrees of freedom are capped, since variants share dense's seeds and their variances agree by it."""


@dataclass(frozen=True, slots=True)
class Retraining:
    """Mean difference with a 95% interval and a two-sided p-value, by Student's law with ``freedom``."""

    value: float
    low: float
    high: float
    p: float
    freedom: float
    spread: float = 0.0
    """The mean's standard error."""


def retrainings(groups: Sequence[Sequence[Difference]]) -> list[Retraining | None]:
    """One for each group, a variant's differences by seed; None where a group has fewer than two.

    Seeds and examples are crossed random effects: the variance of a mean is S²/k plus what the examples add
    to all k seeds alike (Searle, Casella & McCulloch, Variance Components, 1992, ch. 4). A variant's own S²
    is moderated by all variants': (d₀S₀² + (k−1)S²)/(d₀ + k−1), with d₀ + k−1 degrees of freedom (Smyth,
    Linear models and empirical Bayes methods, Stat. Appl. Genet. Mol. Biol. 3, 2004); d₀ and S₀² follow from
    the spread of log S² over the variants. No Satterthwaite: his degrees of freedom explode where seeds agree
    by luck. Where seeds were measured on different examples, the second term is a whole seed's variance; the
    sum is never taken as smaller than if all pairs were independent.
    """
    spreads = [(_variance(g), len(g) - 1) for g in groups if len(g) > 1]
    prior, prior_freedom = _prior(spreads)
    return [_one(g, prior, prior_freedom) if len(g) > 1 else None for g in groups]


def _variance(group: Sequence[Difference]) -> float:
    return float(np.var([d.value for d in group], ddof=1))


def _one(group: Sequence[Difference], prior: float, prior_freedom: float) -> Retraining:
    k = len(group)
    value = float(np.mean([d.value for d in group]))
    freedom = prior_freedom + k - 1
    own = (prior_freedom * prior + (k - 1) * _variance(group)) / freedom
    within = float(np.mean([sum(part.var() / len(part) for part in d.parts) for d in group]))
    alike = len({tuple(len(part) for part in d.parts) for d in group}) == 1
    common = shared(group) if alike else within
    variance = max(own / k + common, within / k)
    if variance == 0:
        return Retraining(value, value, value, 1.0 if value == 0 else 0.0, freedom)
    spread = math.sqrt(variance)
    half = float(special.stdtrit(freedom, 0.5 + LEVEL / 2)) * spread
    p = 2 * float(special.stdtr(freedom, -abs(value) / spread))
    return Retraining(value, max(value - half, -1.0), min(value + half, 1.0), p, freedom, spread)


def _prior(spreads: Sequence[tuple[float, int]]) -> tuple[float, float]:
    """S₀² and d₀ by the moments of log S² (Smyth 2004, section 6.2); (0, 0) where they cannot be told."""
    known = [(s, d) for s, d in spreads if s > 0]
    if len(known) < 2:
        return 0.0, 0.0
    d = np.array([d for _, d in known], dtype=float)
    e = np.log([s for s, _ in known]) - special.digamma(d / 2) + np.log(d / 2)
    excess = float(e.var(ddof=1) - special.polygamma(1, d / 2).mean())
    freedom = MOST_PRIOR if excess <= 0 else min(MOST_PRIOR, 2 * _inverse_trigamma(excess))
    return math.exp(float(e.mean()) + special.digamma(freedom / 2) - math.log(freedom / 2)), freedom


def _inverse_trigamma(y: float) -> float:
    """x with trigamma(x) = y > 0, by Newton's method (Smyth 2004, appendix)."""
    x = 0.5 + 1 / y
    for _ in range(50):
        trigamma = float(special.polygamma(1, x))
        step = trigamma * (1 - trigamma / y) / float(special.polygamma(2, x))
        x += step
        if abs(step) < 1e-9 * x:
            break
    return x


def shared(group: Sequence[Difference]) -> float:
    """The variance that examples add to all members of a group alike, and so to their mean: seeds of a model,
    or models measured on the same examples; summed over the groups of examples."""
    return sum(_shared(np.stack(cells)) for cells in zip(*(d.parts for d in group), strict=True))


def _shared(cells: NDArray[np.float64]) -> float:
    """Σ max(0, MS_examples − MS_interaction) / (k·m) of a table seeds × examples."""
    k, m = cells.shape
    if m < 2:
        return 0.0
    rows, columns = cells.mean(axis=1, keepdims=True), cells.mean(axis=0, keepdims=True)
    residual = cells - rows - columns + cells.mean()
    interaction = float((residual**2).sum()) / ((k - 1) * (m - 1))
    return float(max(0.0, k * float(columns.var(ddof=1)) - interaction) / (k * m))
