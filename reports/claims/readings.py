"""What claims read of a study: the same figures for all, chosen by rules that look at dense alone."""

from collections.abc import Callable, Mapping
from typing import Any

from reports.claims.figures import (
    DENSE,
    Reading,
    Where,
    against_dense,
    anywhere,
    between,
    by_seed,
    conditions,
    doubts,
    joined,
    plain,
)  # fmt: skip
from reports.claims.study import Cell, Method, Study, pruned
from reports.data import key
from reports.language.words import attack as attack_words
from reports.language.words import conditions as condition_words

TEST = Reading("accuracy", {"split": "test"})
GAP = Reading("accuracy", {"split": "train"}, less=TEST, same=False)
"""Accuracy on training examples less that on test examples."""

WITHOUT_GRADIENTS = ("square", "rays")
MEMBERSHIP = ("loss", "rmia_simple", "lira_online_shared")
"""Attacks that every level of the probe runs, and that attackers with several models run too."""
ATTACKERS = {"pair": "holds the dense model too", "versions": "holds every version"}
SEVERITY = 3
"""Of common corruptions: the middle one."""


def accuracy(
    where: Where = anywhere, *, reading: Reading = TEST, control: bool = False
) -> Callable[[Study], list[Cell]]:
    """Accuracy, of models near chance too: their accuracy means what it says."""

    def read(study: Study) -> list[Cell]:
        return against_dense(study, reading, where=where, control=control, sound=False)

    return read


def robust(study: Study) -> Reading | None:
    """Accuracy under the worst of the attacks tuned for, at the ε that leaves dense nearest to half."""
    found = key.robust(study.results)
    return None if found is None else Reading(found.metric, found.at)


def tuned(study: Study) -> list[Cell]:
    """Robust accuracy under the attacks that know the model and its gradients, in the norm tuned for."""
    reading = robust(study)
    if reading is None:
        return []
    part = condition_words({"norm": reading.at["norm"]})
    return against_dense(study, reading, part=part, control=True)


def unlike(study: Study, where: Where = anywhere) -> list[Cell]:
    """Accuracy under what the model was not tuned for: attacks without gradients standing alone, attacks
    transferred from other models, another norm, common corruptions."""
    reading = robust(study)
    found = _corruptions(study, where)
    if reading is None:
        return found
    norm = reading.at["norm"]
    alone = study.results.about.get("plan", {}).get("probes", {}).get("evasion", {}).get("alone", False)
    names = [*(WITHOUT_GRADIENTS if alone else ()), "transfer"]
    chosen = [(attack_words(name), _half(study, {"attack": name, "norm": norm})) for name in names]
    known = {str(c.get("norm")) for c in conditions(study, "robust_accuracy", {"attack": "worst_case"})}
    for other in sorted(known - {norm, "union"}):
        at = _half(study, {"attack": "worst_case", "norm": other})
        chosen.append((f"attacks in {condition_words({'norm': other})}", at))
    for part, at in chosen:
        if at is not None:
            own = Reading("robust_accuracy", at)
            found += against_dense(study, own, part=part, where=where, control=True)
    return found


def _corruptions(study: Study, where: Where) -> list[Cell]:
    kinds = conditions(study, "corruption_accuracy", {"severity": SEVERITY})
    cells = [
        cell
        for at in kinds
        for cell in against_dense(
            study, Reading("corruption_accuracy", at), part="common corruptions", where=where, control=True
        )
    ]
    return joined(cells)


def _half(study: Study, at: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The ε at which dense keeps nearest to half under an attack, of rows of just these conditions."""
    known = [c for c in conditions(study, "robust_accuracy", at) if set(c) == {*at, "eps"} and c["eps"] > 0]
    return key.nearest_half(study.results, "robust_accuracy", sorted(known, key=lambda c: c["eps"]))


def membership(metric: str, *, control: bool = True, **at: object) -> Callable[[Study], list[Cell]]:
    """What attacks that hold the pruned model alone learn of its members."""

    def read(study: Study) -> list[Cell]:
        return [
            cell
            for name in MEMBERSHIP
            for cell in against_dense(
                study, Reading(metric, {"attack": name, **at}), part=attack_words(name), control=control
            )
        ]

    return read


def knowing(study: Study) -> list[Cell]:
    """What attackers gain who hold more than the pruned model, over the same attack on that model alone."""
    found = []
    for variant, method, sparsity in pruned(study):
        for attacker, part in ATTACKERS.items():
            cells = []
            for name in MEMBERSHIP:
                alone = Reading("membership_auc", {"attack": name})
                more = Reading("membership_auc", {"attack": f"{name}@{attacker}", "attacker": attacker})
                each = between(study, (variant.name, more), (variant.name, alone))
                if each:
                    why = doubts(study, (variant.name,), more)
                    own = (study, variant.name, method, sparsity, part, each, "the pruned model alone", why)
                    cells.append(Cell(*own))
            found += joined(cells)
    return found


def extraction(study: Study) -> list[Cell]:
    """How faithful a copy is that was made with the plan's largest number of queries."""
    found = key.extraction(study.results)
    return [] if found is None else against_dense(study, Reading(found.metric, found.at), control=True)


def damage(at: Mapping[str, Any], count: str, part: str) -> Callable[[Study], list[Cell]]:
    """Accuracy lost to tampering with the weights as stored in 8 bits, at the ``count`` (flips, or their
    rate) that leaves dense nearest to half."""

    def read(study: Study) -> list[Cell]:
        reading = tampered(study, {"storage": "int8", **at}, count)
        return [] if reading is None else against_dense(study, reading, part=part, control=True)

    return read


def tampered(study: Study, at: Mapping[str, Any], count: str) -> Reading | None:
    """Accuracy as stored less accuracy once tampered with."""
    known = [
        c for c in conditions(study, "tampering_accuracy", at) if set(c) == {*at, count} and c[count] > 0
    ]
    chosen = key.nearest_half(study.results, "tampering_accuracy", sorted(known, key=lambda c: c[count]))
    if chosen is None:
        return None
    stored = conditions(study, "tampering_accuracy", {"attack": "bit_flip", "storage": "int8", "rate": 0})
    whole = Reading("tampering_accuracy", stored[0]) if stored else TEST
    return Reading(whole.metric, whole.at, less=Reading("tampering_accuracy", chosen))


def saved(study: Study, variant: str, reading: Reading) -> dict[int, float]:
    """The share of dense's size or time that a variant does without, by seed."""
    own, dense = by_seed(study, variant, reading), by_seed(study, DENSE, reading)
    return {seed: 1 - value / dense[seed] for seed, value in own.items() if dense.get(seed, 0) > 0}


def savings(metric: str, at: Mapping[str, Any] | None = None) -> Callable[[Study], list[Cell]]:
    """The share of dense's size or time saved."""
    reading = Reading(metric, at or {})

    def read(study: Study) -> list[Cell]:
        cells = []
        for variant, method, sparsity in pruned(study):
            each = {seed: plain(value) for seed, value in saved(study, variant.name, reading).items()}
            if each:
                cells.append(Cell(study, variant.name, method, sparsity, "", each, DENSE))
        return cells

    return read


def twins(
    study: Study, ours: Callable[[Method], bool], theirs: Callable[[Method, Method], bool]
) -> list[tuple[str, Method, float, str]]:
    """Pairs of variants of equal sparsity, hardness and schedule: the first's facts, the second's name."""
    known = pruned(study)
    return [
        (variant.name, method, sparsity, other.name)
        for variant, method, sparsity in known
        if ours(method)
        for other, twin, strength in known
        if twin.twin == method.twin and abs(strength - sparsity) < 1e-9 and theirs(method, twin)
    ]
