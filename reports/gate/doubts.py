"""What keeps a figure of an attack from counting as good: a collapsed model, or an attack in ill health."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from reports.data.health import Health, healths, title
from reports.data.key import KEPT_MARGIN, chance, collapsed
from reports.data.results import Results
from reports.gate.policy import Rule
from reports.gate.rows import Reading
from reports.language import words

_UNKNOWN = Health((), "was not measured")
SPEAK_OF_THEMSELVES = ("accuracy", "cost")
"""Probes whose figures mean what they say even of a collapsed model."""


@lru_cache(maxsize=8)
def doubts_of(results: Results) -> "Doubts":
    """Of a run; kept, since several policies may judge one run."""
    return Doubts(results)


class Doubts:
    """Doubts about the figures of one run, by variant."""

    def __init__(self, results: Results) -> None:
        self._fallen = collapsed(results)
        self._chance = chance(results)
        self._clean = set(results.select("accuracy", {"split": "test"})["variant"])
        self._probe = {metric: str(rows.iloc[0]["probe"]) for metric, rows in results.by_metric.items()}
        self._health = healths(results)

    def about(self, rule: Rule, variant: str, readings: Iterable[Reading]) -> str:
        """Why these figures, however good, prove nothing; empty if there is no such reason."""
        if self._probe.get(rule.metric) in SPEAK_OF_THEMSELVES:
            return ""
        if (fallen := self.collapse(variant)) or rule.metric != "robust_accuracy":
            return fallen
        allowed = rule.unchecked == "allow"
        return next((why for r in readings if (why := self.health(variant, r.at, unchecked=allowed))), "")

    def destroyed(self, rule: Rule, readings: Iterable[Reading]) -> str:
        """Whether a change passes because nothing is left to lose: a model that tampering leaves near chance
        has lost no more than another that it leaves there, which says nothing in its favour."""
        if rule.metric != "tampering_accuracy" or not rule.compares or self._chance is None:
            return ""
        least = min((r.value for r in readings), default=1.0)
        if least - self._chance >= KEPT_MARGIN * (1 - self._chance):
            return ""
        return (
            f"the damage leaves it near chance ({words.number(least, 'share')}): that the reference fares no "
            "better is no pass; judge it by fewer flips"
        )

    def collapse(self, variant: str) -> str:
        """Whether the model is near chance, or cannot be told from one that is."""
        fallen = self._fallen.get(variant)
        if fallen is not None:
            some = "" if fallen.whole else f" in {fallen.seeds} of {fallen.of} seeds"
            share = words.number(fallen.accuracy, "share")
            return f"the model has collapsed{some} (clean accuracy {share}): the figure means nothing"
        if variant not in self._clean:
            return "without clean accuracy it cannot be told whether the model has collapsed"
        return ""

    def health(self, variant: str, at: Mapping[str, Any], *, unchecked: bool = False) -> str:
        """What flags of the attack are raised in this norm, or that nobody looked (unless that may be)."""
        found = self._health.get((variant, str(at.get("norm", ""))), _UNKNOWN)
        flags = dict.fromkeys(title(flag.name) for flag in found.raised)
        parts = [f"raised: {words.listing(list(flags))}"] if flags else []
        parts += [found.unchecked] if found.unchecked and not unchecked else []
        return f"attack health {'; it '.join(parts)}" if parts else ""
