"""The noun claim: what the paper says, turned into regions that a measured effect lies in or outside of."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reports.claims.study import Cell, Study
from reports.language.metrics import Unit
from reports.stats.student import Estimate


@dataclass(frozen=True, slots=True)
class Region:
    """Where an effect lies if the claim holds: between ``low`` and ``high``, either of which may be infinite.

    A claim of a rise holds above the smallest effect that matters, one of no harm above its negative, one of
    equality between the two: one rule for difference, non-inferiority and equivalence (two one-sided tests,
    Schuirmann, J. Pharmacokinet. Biopharm. 15, 1987).
    """

    low: float = -math.inf
    high: float = math.inf

    def inside(self, effect: Estimate) -> float:
        """p-value of the claim that the true effect lies inside: the larger of the one-sided ones."""
        ends = [effect.above(self.low)] if math.isfinite(self.low) else []
        ends += [effect.below(self.high)] if math.isfinite(self.high) else []
        return max(ends)

    def outside(self, effect: Estimate) -> float:
        """p-value of the claim that it lies outside, beyond one of the ends."""
        ends = [effect.below(self.low)] if math.isfinite(self.low) else []
        ends += [effect.above(self.high)] if math.isfinite(self.high) else []
        return min(1.0, len(ends) * min(ends))

    @property
    def limits(self) -> tuple[float, ...]:
        """The finite ends."""
        return tuple(end for end in (self.low, self.high) if math.isfinite(end))


def rise(smallest: float) -> Region:
    """The effect is an increase that matters."""
    return Region(low=smallest)


def fall(smallest: float) -> Region:
    """The effect is a decrease that matters."""
    return Region(high=-smallest)


def not_lower(margin: float) -> Region:
    """The effect is no decrease that matters: non-inferiority where more is better."""
    return Region(low=-margin)


def not_higher(margin: float) -> Region:
    """The effect is no increase that matters: non-inferiority where less is better."""
    return Region(high=margin)


def equal(margin: float) -> Region:
    """The effect does not matter in either direction: equivalence."""
    return Region(-margin, margin)


@dataclass(frozen=True, slots=True)
class Facet:
    """One figure that a claim is about. It holds where the effect lies in ``region``.

    ``needs``: what is missing where no study has a cell, in words that name probe and setting.
    """

    name: str
    region: Region
    unit: Unit
    cells: Callable[[Study], list[Cell]]
    needs: str
    required: bool = True


@dataclass(frozen=True, slots=True)
class Claim:
    """One of the paper's claims about safety, as a hypothesis with its test, fixed before any run.

    Where it has several ``facets``, it holds if it holds in each. ``note``: sentences from the cells, such
    as where a knee lies.
    """

    id: str
    title: str
    sections: str
    says: str
    hypothesis: str
    test: str
    smallest: str
    facets: tuple[Facet, ...]
    note: Callable[[Sequence[Study]], list[str]] | None = None
    each_subject: bool = False
    """Whether the claim is about the best setting of each subject (C14), which has a judgement of its own."""
