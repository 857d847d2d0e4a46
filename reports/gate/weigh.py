"""A rule's figures held against its limit: which is the worst, and how sure each claim is.

Two claims can be made of a variant. *It holds*: every reading keeps the limit; all must, so the largest of
their p-values counts, without correction. *It is broken*: some reading breaks the limit; the smallest of
their p-values counts, times their number.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from reports.data.results import Results
from reports.gate.policy import Rule
from reports.gate.rows import Reading
from reports.language.metrics import metric as about_metric
from reports.stats.difference import TAIL
from reports.stats.from_interval import beyond, moved
from reports.stats.holm import holm
from reports.stats.sequence import in_sequence


@dataclass(frozen=True, slots=True)
class Weighed:
    """What is held against the limit: the worst reading with an interval for the worst, and both p-values.

    The interval's far end (from the limit's good side) is that of ``holds``, its near end that of ``broken``:
    each is wrong with a probability of 2.5%, however many readings there are. NaN where there is none.
    """

    reading: Reading
    holds: float
    broken: float

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return math.isfinite(self.reading.low) and math.isfinite(self.reading.high)


@dataclass(frozen=True, slots=True)
class Together:
    """A variant's claims, corrected for all variants under the rule.

    ``alone``: ``holds`` corrected for the number of methods, but not for the variants before it.
    """

    holds: float
    broken: float
    alone: float


def weigh(rule: Rule, readings: Sequence[Reading], tail: float = TAIL) -> Weighed:
    """Readings of which nothing but value and interval is known. ``tail``: of the near end."""
    upper = rule.kind != "min"
    share = about_metric(rule.metric).unit in ("share", "auc") and not rule.compares
    parts = []
    for reading in readings:
        near, far = (reading.low, reading.high) if upper else (reading.high, reading.low)
        kept = reading.value <= rule.limit if upper else reading.value >= rule.limit
        if reading.low == reading.high:  # counted, not sampled
            holds, broken = (0.0, 1.0) if kept else (1.0, 0.0)
        else:
            holds = beyond(reading.value, far, rule.limit, share=share)
            broken = beyond(reading.value, near, rule.limit, share=share)
            near = moved(reading.value, near, tail / len(readings), share=share)
        low, high = (near, far) if upper else (far, near)
        parts.append(Weighed(replace(reading, low=low, high=high), holds, broken))
    return worst(parts, upper=upper)


def worst(parts: Sequence[Weighed], *, upper: bool) -> Weighed:
    """Several figures as one, whose near ends are already corrected for their number.

    ``value``, ``seed`` and ``at`` are those of the worst value; or, where the limit is shown to be broken, of
    the figure that shows it best. ``n`` is the fewest.
    """
    pick = max if upper else min
    broken = min(1.0, len(parts) * min(part.broken for part in parts))
    first = pick(parts, key=lambda part: part.reading.value)
    if broken < TAIL:
        first = min(
            parts, key=lambda part: (part.broken, -part.reading.value if upper else part.reading.value)
        )
    known = all(part.known for part in parts)
    counts = [part.reading.n for part in parts]
    reading = replace(
        first.reading,
        low=pick(part.reading.low for part in parts) if known else math.nan,
        high=pick(part.reading.high for part in parts) if known else math.nan,
        n=None if None in counts else min(n for n in counts if n is not None),
    )
    return Weighed(reading, max(part.holds for part in parts), broken)


def together(results: Results, weighed: Mapping[str, Weighed]) -> dict[str, Together]:
    """Both claims of every variant under a rule, so that 2.5% bounds the chance of any wrong one of a kind.

    *Holds* is tested along sparsity within a method, mildest first, and the methods share the error:
    a variant does not pass before those milder than it. *Broken* is corrected by Holm's method over all:
    a failure does not wait for another. What has no interval takes no part.
    """
    tested = [name for name, found in weighed.items() if found.known]
    chains: dict[str, list[str]] = {}
    for name in sorted(tested, key=lambda name: _strength(results, name)):
        made = results.made.get(name)
        chains.setdefault(name if made is None else made.series, []).append(name)
    kept: dict[str, float] = {}
    adjusted = in_sequence([[weighed[name].holds for name in chain] for chain in chains.values()])
    for chain, holds in zip(chains.values(), adjusted, strict=True):
        kept.update(zip(chain, holds, strict=True))
    broken = dict(zip(tested, holm([weighed[name].broken for name in tested]), strict=True))
    return {
        name: Together(kept.get(name, 1.0), broken.get(name, 1.0), min(1.0, len(chains) * found.holds))
        for name, found in weighed.items()
    }


def _strength(results: Results, name: str) -> float:
    made = results.made.get(name)
    return math.inf if made is None or made.strength is None else made.strength
