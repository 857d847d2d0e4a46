"""What keeps a figure of an attack from counting as good: a collapsed model, or an attack in ill health."""

from collections.abc import Iterable, Mapping
from typing import Any

from reports.data.health import UNCURED, UNION
from reports.data.key import collapsed
from reports.data.results import Results
from reports.gate.rows import Reading
from reports.language import words

SPEAK_OF_THEMSELVES = ("accuracy", "cost")
"""Probes whose figures mean what they say even of a collapsed model."""


class Doubts:
    """Doubts about the figures of one run, by variant."""

    def __init__(self, results: Results) -> None:
        self._fallen = collapsed(results)
        self._clean = set(results.select("accuracy", {"split": "test"})["variant"])
        self._probe = dict(zip(results.measurements["metric"], results.measurements["probe"], strict=True))
        self._raised: dict[tuple[str, str], list[str]] = {}
        for row in results.select("attack_health", measured=False).to_dict("records"):
            at = row["conditions"]
            if row["status"] == "not_applicable":
                continue
            if row["status"] != "ok":
                flag = "could not be measured"
            elif row["value"] > at.get("limit", 0.0):
                flag = words.shown(at.get("flag", "a flag"), 60).replace("_", " ")
            else:
                continue
            flags = self._raised.setdefault((row["variant"], str(at.get("norm", ""))), [])
            if flag not in flags:
                flags.append(flag)

    def about(self, metric: str, variant: str, readings: Iterable[Reading]) -> str:
        """Why these figures, however good, prove nothing; empty if there is no such reason."""
        if self._probe.get(metric) in SPEAK_OF_THEMSELVES:
            return ""
        if (fallen := self.collapse(variant)) or metric != "robust_accuracy":
            return fallen
        return next((flag for r in readings if (flag := self.health(variant, r.at))), "")

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

    def health(self, variant: str, at: Mapping[str, Any]) -> str:
        """Which flags of the attack are raised, in this norm; in any, where the attacker may choose it."""
        norm = str(at.get("norm", ""))
        flags = [
            flag
            for (name, flagged), found in self._raised.items()
            if name == variant and (flagged in (norm, "") or norm == UNION)
            for flag in found
        ]
        if not flags:
            return ""
        unsound = "not measured soundly; " if UNCURED in flags else ""
        rest = [flag for flag in dict.fromkeys(flags) if flag != UNCURED]
        return f"{unsound}attack health raised: {words.listing(rest)}" if rest else "not measured soundly"
