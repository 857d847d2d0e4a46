"""Variants compared with dense (or a control) on the same examples and the same training seeds."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from reports.data.ledger import canonical, unpack
from reports.data.results import Results
from reports.language.metrics import metric as about_metric
from reports.stats import paired

_Evidence = Mapping[str, NDArray[Any]]
Direction = Literal["worse", "better", "same"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A variant minus its reference in one figure, over the seeds that both have."""

    variant: str
    against: str
    metric: str
    at: Mapping[str, Any]
    seeds: tuple[int, ...]
    """The variant's seeds that could be paired, and in ``each`` their own differences, in that order."""
    each: tuple[paired.Difference, ...]
    pooled: paired.Difference
    adjusted: float
    """p-value corrected (Holm) for the comparisons that were made together."""

    @property
    def leans(self) -> Direction:
        """What this comparison says taken alone: ``same`` if its 95% interval holds zero.

        A metric without a worse direction never leans.
        """
        worse = about_metric(self.metric).worse
        if self.pooled.low <= 0 <= self.pooled.high or worse == "neither":
            return "same"
        return "worse" if (self.pooled.value < 0) == (worse == "lower") else "better"

    @property
    def direction(self) -> Direction:
        """``same`` unless the variant is told apart from its reference: Holm-adjusted p < 0.05."""
        return self.leans if self.adjusted < 1 - paired.LEVEL else "same"


def compare_all(
    results: Results,
    variants: Sequence[str],
    metric: str,
    at: Mapping[str, Any],
    against: str = "dense",
    *,
    baseline: Results | None = None,
) -> dict[str, Comparison]:
    """The paired difference variant − ``against`` of every variant that can be compared, by name.

    With ``baseline``, another run, each variant is compared with its namesake there instead. A seed of the
    variant is paired with the same seed of the reference; where the reference has one seed only, with that
    one. Pairs need per-example evidence of equal length (and, for an AUC, the same members). p-values are
    corrected (Holm) for the number of variants compared.
    """
    evidence = _evidence(results, metric, at)
    references = evidence if baseline is None else _evidence(baseline, metric, at)
    made = []
    for variant in variants:
        name = against if baseline is None else variant
        reference = {} if baseline is None and variant == against else references.get(name, {})
        only = next(iter(reference.values())) if len(reference) == 1 else None
        each: dict[int, paired.Difference] = {}
        for seed, ours in evidence.get(variant, {}).items():
            theirs = reference.get(seed, only)
            difference = None if theirs is None else _difference(metric, ours, theirs)
            if difference is not None:
                each[seed] = difference
        if each:
            pooled = paired.pool(list(each.values()))
            made.append(
                Comparison(variant, name, metric, at, tuple(each), tuple(each.values()), pooled, pooled.p)
            )
    adjusted = paired.holm([comparison.pooled.p for comparison in made])
    return {c.variant: replace(c, adjusted=p) for c, p in zip(made, adjusted, strict=True)}


def _evidence(results: Results, metric: str, at: Mapping[str, Any]) -> dict[str, dict[int, _Evidence]]:
    """Per-example evidence of every row that has some, by variant and seed."""
    return _unpacked(results, metric, canonical(dict(at)))


@lru_cache(maxsize=64)
def _unpacked(results: Results, metric: str, at: str) -> dict[str, dict[int, _Evidence]]:
    """Kept, since gate, summary and tiles compare the same rows."""
    found: dict[str, dict[int, _Evidence]] = {}
    for row in results.select(metric, json.loads(at)).to_dict("records"):
        if isinstance(row["outcomes"], bytes):
            found.setdefault(row["variant"], {})[int(row["seed"])] = unpack(row["outcomes"]) or {}
    return found


def _difference(metric: str, ours: _Evidence, theirs: _Evidence) -> paired.Difference | None:
    """The paired difference of two rows' evidence, or None if it does not pair."""
    if metric == "membership_auc":
        if (
            "score" not in ours
            or "score" not in theirs
            or not np.array_equal(ours["member"], theirs["member"])
        ):
            return None
        member = ours["member"].astype(bool)
        if min(member.sum(), (~member).sum()) < 2:
            return None
        return paired.auc(ours["score"].astype(float), theirs["score"].astype(float), member)
    for kind in ("correct", "agree"):
        if kind in ours and kind in theirs and ours[kind].shape == theirs[kind].shape and len(ours[kind]):
            return paired.rate(ours[kind].astype(bool), theirs[kind].astype(bool))
    return None
