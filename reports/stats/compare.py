"""Variants compared with dense (or a control, or a baseline) on the same examples and the same seeds.

Page, exports and gate read the same :class:`Comparison`: what breaks a margin is worse at margin zero too, so
that they cannot contradict one another.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from reports.data.ledger import canonical, unpack
from reports.data.results import Results
from reports.language.metrics import metric as about_metric
from reports.stats.cluster import these_models
from reports.stats.delong import from_arms, placements
from reports.stats.difference import LEVEL, TAIL, Difference
from reports.stats.holm import holm
from reports.stats.moderated import Retraining, retrainings
from reports.stats.paired import rate_difference

Evidence = Mapping[str, NDArray[Any]]
Direction = Literal["worse", "better", "same"]

MEAN_SHARE = 0.8
"""Of the error that a claim on several models may have, what the test of their mean gets.

The rest is shared by the models' own tests, which find the one bad seed.
"""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A variant minus its reference in one figure, for the models (seeds) that both have."""

    variant: str
    against: str
    metric: str
    at: Mapping[str, Any]
    seeds: tuple[int, ...]
    """The variant's seeds that could be paired, and in ``each`` their own differences, in that order."""
    each: tuple[Difference, ...]
    pooled: Difference
    """These models: their mean, for new examples."""
    retraining: Retraining | None
    """The same mean for new seeds too; None with one seed."""
    fallen: float
    """p-value of the claim that some of these models is lower, corrected (Holm) for the run's variants."""
    risen: float
    """The same of the claim that some is higher."""
    retrained: float | None
    """The retraining's two-sided p-value, so corrected."""

    @property
    def adjusted(self) -> float:
        """Two-sided p-value that these models differ from their reference, corrected for all variants."""
        return min(1.0, 2 * min(self.fallen, self.risen))

    @property
    def leans(self) -> Direction:
        """What the mean says taken alone: ``same`` if its 95% interval holds zero.

        A metric without a worse direction never leans.
        """
        worse = about_metric(self.metric).worse
        if self.pooled.low <= 0 <= self.pooled.high or worse == "neither":
            return "same"
        return "worse" if (self.pooled.value < 0) == (worse == "lower") else "better"

    @property
    def direction(self) -> Direction:
        """``same`` unless these models are told apart from their reference: adjusted p < 0.05.

        Where one seed is worse and another better, both shown: ``worse``.
        """
        worse = about_metric(self.metric).worse
        if worse == "neither":
            return "same"
        bad, good = (self.fallen, self.risen) if worse == "lower" else (self.risen, self.fallen)
        if bad < TAIL:
            return "worse"
        return "better" if good < TAIL else "same"

    @property
    def of_retraining(self) -> Direction:
        """Whether the method, trained anew, is shown to differ; ``same`` with one seed."""
        worse = about_metric(self.metric).worse
        if self.retraining is None or self.retrained is None or worse == "neither":
            return "same"
        if self.retrained >= 1 - LEVEL:
            return "same"
        return "worse" if (self.retraining.value < 0) == (worse == "lower") else "better"


def breaks(each: Sequence[Difference], pooled: Difference, margin: float, *, rise: bool) -> float:
    """p-value of the claim that some of the models falls (or rises) by more than ``margin``.

    If their mean does, one of them does: the mean is tested beside each model, with weights (weighted
    Bonferroni). One model's is its own test.
    """

    def claim(difference: Difference) -> float:
        return difference.above(margin) if rise else difference.below(-margin)

    if len(each) == 1:
        return claim(each[0])
    own = len(each) * min(claim(d) for d in each) / (1 - MEAN_SHARE)
    return min(1.0, claim(pooled) / MEAN_SHARE, own)


def keeps(each: Sequence[Difference], margin: float, *, rise: bool) -> float:
    """p-value of the claim that each of the models falls (or rises) by less than ``margin``.

    All must: the largest of their p-values, without correction (intersection–union).
    """
    return max(d.below(margin) if rise else d.above(-margin) for d in each)


def worst_span(
    each: Sequence[Difference], pooled: Difference, *, rise: bool, tail: float = TAIL
) -> tuple[float, float]:
    """An interval for the worst model's drop (or rise): each end is wrong with probability ``tail``.

    The near end is that of :func:`breaks`, the far end that of :func:`keeps` at 2.5% whatever ``tail``.
    """

    def near(difference: Difference, share: float) -> float:
        return difference.end(share, upper=False) if rise else -difference.end(share, upper=True)

    far = max(d.high if rise else -d.low for d in each)
    if len(each) == 1:
        return near(each[0], tail), far
    own = tail * (1 - MEAN_SHARE) / len(each)
    return max(near(pooled, tail * MEAN_SHARE), *(near(d, own) for d in each)), far


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
    corrected for all variants of the run that compare, whichever are asked for: the answer is one.
    """
    table = _table(results, metric, canonical(dict(at)), against, baseline)
    return {name: table[name] for name in variants if name in table}


@lru_cache(maxsize=256)
def _table(
    results: Results, metric: str, at: str, against: str, baseline: Results | None
) -> Mapping[str, Comparison]:
    """Kept, since gate, summary, tables and tiles ask for the same ones."""
    evidence = evidence_of(results, metric, at)
    references = evidence if baseline is None else evidence_of(baseline, metric, at)
    pairs = {}
    for variant, own in evidence.items():
        if baseline is None and variant in (against, "dense"):
            continue
        reference = against if baseline is None else variant
        pairs[variant, reference] = _paired(metric, own, references.get(reference, {}))
    return {one.variant: one for one in _compared(pairs, metric, json.loads(at))}


def compare_pairs(
    results: Results, pairs: Sequence[tuple[str, str]], metric: str, at: Mapping[str, Any], among: int = 0
) -> dict[tuple[str, str], Comparison]:
    """The paired difference first − second of every pair of variants that can be compared, by pair.

    Seeds pair as in :func:`compare_all`. p-values are corrected for all the pairs given, among which a reader
    may choose by what looks interesting; for ``among`` pairs, where these are picked from more.
    """
    evidence = evidence_of(results, metric, canonical(dict(at)))
    found = {(a, b): _paired(metric, evidence.get(a, {}), evidence.get(b, {})) for a, b in pairs}
    return {(one.variant, one.against): one for one in _compared(found, metric, at, among)}


def _paired(
    metric: str, own: Mapping[int, Evidence], reference: Mapping[int, Evidence]
) -> dict[int, Difference]:
    """Differences by seed; where the reference has one seed only, with that one."""
    only = next(iter(reference.values())) if len(reference) == 1 else None
    found = {}
    for seed, ours in own.items():
        theirs = reference.get(seed, only)
        one = None if theirs is None else difference(metric, ours, theirs)
        if one is not None:
            found[seed] = one
    return found


def _compared(
    pairs: Mapping[tuple[str, str], Mapping[int, Difference]],
    metric: str,
    at: Mapping[str, Any],
    among: int = 0,
) -> list[Comparison]:
    """Of each (variant, reference) with a difference, corrected for all of them, or for ``among`` (Holm)."""
    known = {names: each for names, each in pairs.items() if each}
    groups = [tuple(each.values()) for each in known.values()]
    pooled = [these_models(group) for group in groups]
    unseen = [1.0] * (among - len(groups))
    fallen = holm([*(breaks(g, p, 0.0, rise=False) for g, p in zip(groups, pooled, strict=True)), *unseen])
    risen = holm([*(breaks(g, p, 0.0, rise=True) for g, p in zip(groups, pooled, strict=True)), *unseen])
    trained = retrainings(groups)
    corrected = iter(holm([*(t.p for t in trained if t is not None), *unseen]))
    found = []
    for i, ((variant, against), each) in enumerate(known.items()):
        again = trained[i]
        one = Comparison(
            variant, against, metric, at, tuple(each), groups[i], pooled[i], again, fallen[i], risen[i],
            None if again is None else next(corrected),
        )  # fmt: skip
        found.append(one)
    return found


@lru_cache(maxsize=64)
def evidence_of(results: Results, metric: str, at: str) -> Mapping[str, Mapping[int, Evidence]]:
    """Per-example evidence of every row that has some, by variant and seed."""
    found: dict[str, dict[int, Evidence]] = {}
    rows = results.select(metric, json.loads(at))
    for variant, seed, outcomes in zip(rows["variant"], rows["seed"], rows["outcomes"], strict=True):
        if isinstance(outcomes, bytes):
            kept = unpack(outcomes, PAIRED) or {}
            found.setdefault(variant, {})[int(seed)] = {**kept, **_placed(kept)}
    return found


def _placed(evidence: Evidence) -> Evidence:
    """An AUC's contributions (``above``, ``below``), worked out once for all that it is compared with."""
    if "score" not in evidence:
        return {}
    member = evidence["member"].astype(bool)
    if min(member.sum(), (~member).sum()) < 2:
        return {}
    return dict(zip(ARMS, placements(evidence["score"].astype(float), member), strict=True))


PAIRED = ("correct", "agree", "score", "member")
"""What of a row's evidence is compared."""
ARMS = ("above", "below")


def difference(metric: str, ours: Evidence, theirs: Evidence) -> Difference | None:
    """The paired difference of two rows' evidence, or None if it does not pair."""
    if metric == "membership_auc":
        if not np.array_equal(ours.get("member", ()), theirs.get("member", ())):
            return None
        new, old = (one if ARMS[0] in one else _placed(one) for one in (ours, theirs))
        return from_arms(*(tuple(one[arm] for arm in ARMS) for one in (new, old))) if new and old else None
    for kind in ("correct", "agree"):
        if kind in ours and kind in theirs and ours[kind].shape == theirs[kind].shape and len(ours[kind]):
            return rate_difference(ours[kind].astype(bool), theirs[kind].astype(bool))
    return None
