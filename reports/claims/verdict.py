"""The verdict on a claim: one rule for all, from p-values of what it says and of the opposite."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from reports.claims.pool import WHOLE, Pooled
from reports.stats.difference import LEVEL, TAIL
from reports.stats.holm import holm

Verdict = Literal["supported", "contradicted", "mixed", "inconclusive", "not tested"]
LEANS = 0.5
"""A setting whose own p-value for a verdict is above this keeps the verdict on the whole from being given:
it lies on the other side of the limit. Uncorrected, since it takes something away and shows nothing."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """A claim's three p-values: that it holds in each of its figures, that it fails in each, that it holds
    somewhere and fails elsewhere. ``p``: two-sided, for the claim as one of a family."""

    holds: float
    fails: float
    differs: float
    settings: tuple[tuple[Pooled, float, float], ...]
    """Every setting with its p-values for holding and failing, corrected (Holm) over the settings."""

    @property
    def p(self) -> float:
        """What Holm's correction over the family takes: the least of the three, two-sided."""
        return min(1.0, 2 * min(self.holds, self.fails, self.differs))


def weigh(pooled: Sequence[Pooled]) -> Weighed:
    """P-values over all facets and settings; all 1 where there are none.

    "Holds" needs every facet (intersection–union: no correction is due), and so does "fails". "Differs" needs
    one setting of each sort, each shown among all settings.
    """
    wholes = [one for one in pooled if one.factor == WHOLE]
    if not wholes:
        return Weighed(1.0, 1.0, 1.0, ())
    holding, failing = holm([one.holds for one in pooled]), holm([one.fails for one in pooled])
    return Weighed(
        max(one.holds for one in wholes),
        max(one.fails for one in wholes),
        max(min(holding), min(failing)),
        tuple(zip(pooled, holding, failing, strict=True)),
    )


@dataclass(frozen=True, slots=True)
class Decided:
    """A verdict, the p-value corrected over the family, and the settings it rests on."""

    verdict: Verdict
    p: float
    holding: tuple[Pooled, ...]
    """Settings in which the claim is shown to hold."""
    failing: tuple[Pooled, ...]
    against: tuple[Pooled, ...]
    """Settings that lean the other way, where that alone kept a verdict from being given."""


def decide(weighed: Sequence[Weighed | None]) -> list[Decided]:
    """One verdict each; None is a claim that was not tested, which counts in the family all the same.

    A wrong "supported", "contradicted" or "mixed" anywhere in the family has a probability of at most 5%
    (Holm). A claim that holds here and fails there is mixed, whatever its mean.
    """
    corrected = holm([1.0 if one is None else one.p for one in weighed])
    return [
        Decided("not tested", 1.0, (), (), ()) if one is None else _decide(one, p)
        for one, p in zip(weighed, corrected, strict=True)
    ]


def _decide(one: Weighed, corrected: float) -> Decided:
    times = corrected / one.p if 0 < one.p < 1 else 1.0
    holding = tuple(s for s, holds, _ in one.settings if holds * times <= TAIL)
    failing = tuple(s for s, _, fails in one.settings if fails * times <= TAIL)
    if corrected > 1 - LEVEL:
        return Decided("inconclusive", corrected, holding, failing, ())
    if one.differs * times <= TAIL:
        return Decided("mixed", corrected, holding, failing, ())
    sure = one.holds <= one.fails
    against = tuple(s for s, _, _ in one.settings if (s.holds if sure else s.fails) > LEANS)
    whole = min(one.holds, one.fails) * times <= TAIL
    if against or not whole:
        return Decided("inconclusive", corrected, holding, failing, against if whole else ())
    return Decided("supported" if sure else "contradicted", corrected, holding, failing, ())
