"""From a study's rows to cells: paired differences by seed, from per-example evidence where there is any."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.claims.study import Cell, Method, Study, pruned
from reports.data.health import healths
from reports.data.key import collapsed
from reports.data.ledger import canonical, unpack
from reports.stats.compare import Evidence, difference
from reports.stats.difference import Difference, gaussian

DENSE, CONTROL = "dense", "dense-finetuned"
MODERATE, STRONG = 0.5, 0.9
"""The sparsity up to which pruning is moderate here, and from which it is strong."""

Where = Callable[[Method, float], bool]


@dataclass(frozen=True, slots=True)
class Reading:
    """One figure: a metric under conditions, less another of the same model where ``less`` is given."""

    metric: str
    at: Mapping[str, Any] = field(default_factory=dict)
    less: "Reading | None" = None
    same: bool = True
    """Whether ``less`` is of the same examples."""

    def __hash__(self) -> int:
        return hash((self.metric, canonical(dict(self.at)), self.less))


def anywhere(_method: Method, _sparsity: float) -> bool:
    """Every method at every sparsity."""
    return True


def moderate(_method: Method, sparsity: float) -> bool:
    """At most half of the weights gone."""
    return sparsity <= MODERATE + 1e-9


def strong(_method: Method, sparsity: float) -> bool:
    """Nine tenths of the weights gone, or more."""
    return sparsity >= STRONG - 1e-9


def against_dense(
    study: Study,
    reading: Reading,
    *,
    part: str = "",
    where: Where = anywhere,
    control: bool = False,
    sound: bool = True,
) -> list[Cell]:
    """Each pruned variant minus dense. ``control``: minus the dense model that was trained on for as long,
    where the method is fine-tuned and that control was measured, so that training is not taken for pruning.

    ``sound``: models near chance are told and do not count (not for accuracy itself, of which it is a part).
    """
    cells = []
    for variant, method, sparsity in pruned(study):
        if not where(method, sparsity):
            continue
        has_control = control and method.tuned and by_seed(study, CONTROL, reading)
        reference = CONTROL if has_control else DENSE
        each = between(study, (variant.name, reading), (reference, reading))
        if each:
            why = doubts(study, (variant.name, reference), reading, sound=sound)
            cells.append(Cell(study, variant.name, method, sparsity, part, each, reference, why))
    return cells


def compared(
    study: Study,
    reading: Reading,
    pairs: Sequence[tuple[str, Method, float, str]],
    *,
    part: str = "",
    sound: bool = True,
) -> list[Cell]:
    """Variants minus others of the same study: name, method and sparsity of the first, name of the second."""
    cells = []
    for variant, method, sparsity, other in pairs:
        each = between(study, (variant, reading), (other, reading))
        if each:
            why = doubts(study, (variant, other), reading, sound=sound)
            cells.append(Cell(study, variant, method, sparsity, part, each, other, why))
    return cells


def between(study: Study, new: tuple[str, Reading], old: tuple[str, Reading]) -> dict[int, Difference]:
    """One variant's figure minus another's, or its own under other conditions, by seed that both have."""
    ours, theirs = by_seed(study, *new), by_seed(study, *old)
    return {
        seed: _difference(study, seed, new, old) or plain(ours[seed] - theirs[seed])
        for seed in sorted(ours.keys() & theirs.keys())
    }


def _difference(
    study: Study, seed: int, new: tuple[str, Reading], old: tuple[str, Reading]
) -> Difference | None:
    """The same from per-example evidence, if both have some that pairs."""
    (ours, reading), (theirs, other) = new, old
    first, second = _outcomes(study, ours, reading, seed), _outcomes(study, theirs, other, seed)
    pair = difference(reading.metric, first, second) if first and second else None
    if pair is None or reading.less is None or other.less is None:
        return pair
    less = _difference(study, seed, (ours, reading.less), (theirs, other.less))
    if less is None:
        return None
    joined = reading.same and all(a.shape == b.shape for a, b in zip(pair.parts, less.parts, strict=True))
    if joined:
        parts = tuple(a - b for a, b in zip(pair.parts, less.parts, strict=True))
    else:
        parts = (*pair.parts, *(-part for part in less.parts))
    return plain(pair.value - less.value, parts)


def mean(differences: Sequence[Difference]) -> Difference:
    """The mean of several differences of one seed, and of what each example adds to them where all are of as
    many examples."""
    value = float(np.mean([d.value for d in differences]))
    parts: tuple[NDArray[np.float64], ...] = ()
    if len({tuple(len(part) for part in d.parts) for d in differences}) == 1:
        stacked = zip(*(d.parts for d in differences), strict=True)
        parts = tuple(np.mean(np.stack(part), axis=0) for part in stacked)
    return plain(value, parts)


def joined(cells: Sequence[Cell]) -> list[Cell]:
    """Cells of the same variant as one, the mean over them, for the seeds that all have."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.variant, []).append(cell)
    found = []
    for group in groups.values():
        seeds = sorted(set.intersection(*(set(cell.each) for cell in group)))
        each = {seed: mean([cell.each[seed] for cell in group]) for seed in seeds}
        why = next((cell.excluded for cell in group if cell.excluded), "")
        if each:
            found.append(replace(group[0], each=each, excluded=why))
    return found


def plain(value: float, parts: tuple[NDArray[np.float64], ...] = ()) -> Difference:
    """A difference of which no more is known than its value, or its value and what each example adds."""
    return Difference(value, 1, gaussian(value, 0.0), parts=parts)


def by_seed(study: Study, variant: str, reading: Reading) -> dict[int, float]:
    """A variant's figure by seed, of the seeds that have one."""
    rows = _rows(study, reading.metric, canonical(dict(reading.at))).get(variant, {})
    found = {seed: value for seed, (value, _) in rows.items()}
    if reading.less is None:
        return found
    less = by_seed(study, variant, reading.less)
    return {seed: value - less[seed] for seed, value in found.items() if seed in less}


def conditions(study: Study, metric: str, at: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The different conditions of a metric's figures that include ``at``, in a fixed order."""
    known = {canonical(dict(c)): c for c in study.results.select(metric, at)["conditions"]}
    return [known[key] for key in sorted(known)]


@lru_cache(maxsize=512)
def _rows(study: Study, metric: str, at: str) -> Mapping[str, Mapping[int, tuple[float, bytes | None]]]:
    """Value and packed evidence of the rows whose conditions are ``at`` and no more, by variant and seed."""
    found: dict[str, dict[int, tuple[float, bytes | None]]] = {}
    for row in study.results.select(metric, json.loads(at)).to_dict("records"):
        if row["at"] == at:
            blob = row["outcomes"] if isinstance(row["outcomes"], bytes) else None
            found.setdefault(row["variant"], {})[int(row["seed"])] = (float(row["value"]), blob)
    return found


@lru_cache(maxsize=4096)
def _outcomes(study: Study, variant: str, reading: Reading, seed: int) -> Evidence:
    rows = _rows(study, reading.metric, canonical(dict(reading.at))).get(variant, {})
    return unpack(rows[seed][1]) or {} if seed in rows else {}


def doubts(study: Study, variants: Sequence[str], reading: Reading, *, sound: bool = True) -> str:
    """Why a figure of these variants supports nothing: near chance, or attacks that show signs of failure."""
    fallen = collapsed(study.results) if sound else {}
    for name in variants:
        if name in fallen:
            return f"{name} is near chance"
    if reading.metric == "robust_accuracy":
        known = healths(study.results)
        for name in variants:
            health = known.get((name, str(reading.at.get("norm", ""))))
            if health is not None and health.raised:
                return f"attacks on {name} show signs of failure"
            if health is None or health.unchecked:
                return f"attack health of {name} is not known"
    return ""
