"""What a unit does: make one model, or measure one. Runs in a worker; the caller writes the results down."""

import math
import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from attacks.evasion import Settings as EvasionSettings
from attacks.evasion import perturbations
from attacks.probe import Held, Part, Status, Target, unavailable
from attacks.registry import probes
from audit import costs, manifest, references, scores
from audit.cutting import LARGEST
from audit.means import means, trained, trained_for
from audit.plan import Plan
from audit.subject import black_box, models
from audit.subject.code import adaptive
from audit.subject.data import Data
from audit.subject.features import features
from audit.subject.trigger import trigger
from audit.unit import MODELS, Unit, file_digest
from pruning import masks, measure, procedure, prunable, scoring, storage
from pruning.prune import Pruned, prune
from pruning.recipe import Recipe
from pruning.removal import Removal
from reports.data.ledger import MeasurementRow, VariantRow

VALUES = 2**20
"""Input values that go through a model at once, at most: some hundred megabytes of activations."""


@dataclass(frozen=True, slots=True)
class Context:
    """What every unit of a run shares."""

    plan: Plan
    data: Data
    out: Path
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Result:
    """What a unit leaves: a variant, a part, or measurements; and the error where it crashed."""

    seconds: float
    variant: VariantRow | None = None
    measurements: tuple[MeasurementRow, ...] = ()
    part: Part | None = None
    error: str | None = None
    trace: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Given:
    """What a unit's parents left."""

    made: Mapping[str, VariantRow] = field(default_factory=dict)
    """The models, by unit id; one that failed is not there."""
    known: Part = field(default_factory=dict)
    """What the pieces of the stages before it left, of all their examples."""
    lost: str = ""
    """Why that is not whole; empty: it is."""


class PieceFailedError(Exception):
    """A piece of a probe's work failed; the message is its own."""


def perform(unit: Unit, given: Given, context: Context) -> Result:
    """Do one unit.

    Never raises on a crash of the work itself: a crash becomes the unit's error and visible failed rows.
    """
    start, made = time.perf_counter(), given.made
    try:
        if unit.kind in MODELS:
            variant = _make(unit, made, context)
            return Result(time.perf_counter() - start, variant=variant)
        if unit.kind in KEPT:
            KEPT[unit.kind](unit, made, context)
            return Result(time.perf_counter() - start)
        if unit.kind == "piece":
            part = _piece(unit, given, context)
            return Result(time.perf_counter() - start, part=part)
        rows = _costs(unit, made, context) if unit.kind == "cost" else _probe(unit, given, context)
        return Result(time.perf_counter() - start, measurements=tuple(rows))
    except Exception as error:
        piece = isinstance(error, PieceFailedError)
        message = str(error) if piece else f"{type(error).__name__}: {error}"
        return crashed(unit, message, time.perf_counter() - start, traceback.format_exc())


def crashed(unit: Unit, message: str, seconds: float = 0.0, trace: str = "") -> Result:
    """The result of a unit that failed: a visible failed row for each metric that it should have measured."""
    rows = tuple(row for variant in unit.of for row in _failed(unit, variant, message))
    return Result(seconds, measurements=rows, error=message, trace=trace)


def _failed(unit: Unit, variant: str, message: str) -> list[MeasurementRow]:
    return _rowless(unit, variant, "failed", message)


def _rowless(unit: Unit, variant: str, status: Status, message: str) -> list[MeasurementRow]:
    """A row without a figure for each metric of the unit's probe."""
    card = costs.CARD if unit.kind == "cost" else probes()[unit.probe].card
    return [
        MeasurementRow(variant, unit.replicate, unit.probe, m.metric, status=m.status, note=m.note)
        for m in unavailable(card.metrics, status, message)
    ]


def _make(unit: Unit, made: Mapping[str, VariantRow], context: Context) -> VariantRow:
    """Make one model, keep it in the run's folder, and say what it is."""
    plan, data = context.plan, context.data
    build = models.builder(plan, data)
    row = VariantRow(unit.variant, unit.replicate, unit.method, unit.sparsity, 0.0, unit.kind == "control")
    history: tuple[Removal, ...] = ()
    if unit.kind == "dense" and plan.model.weights is not None:
        found = models.restore(plan.model.weights, plan, build, data)
        inner, history = found.model, found.history
        row = replace(row, note=models.described(found, models.fresh(build, 0), None))
    elif unit.kind == "dense" and plan.model.black_box:
        inner, row = build(), replace(row, note="a black box: a program in a file, which answers and no more")
    elif unit.kind == "dense":
        inner = models.fresh(build, unit.seed)
        _train(inner, unit, context, plan.train.epochs if plan.train else 0, further=False)
    elif unit.kind == "checkpoint":
        inner, history, row = _checkpoint(unit, made, context, row)
    else:
        parent = made[unit.parents[0]]
        inner = _load(parent, context)
        if unit.kind == "control":
            _train(inner, unit, context, plan.control_epochs, further=True)
            row = replace(row, note=trained_for(plan, None))
        else:
            pruned, note = _prune(unit, inner, context)
            inner, history = pruned.model, (*storage.read(_file(parent, context))[0], *pruned.history)
            row = replace(row, achieved_sparsity=_achieved(inner, build, data), note=note)
    models.check(models.wrap(inner, plan, data), data)
    path = model_file(context.out, unit.id)
    storage.save(inner, path, history)
    manifest.write(path, manifest.beside(path))
    return replace(row, digest=file_digest(path), file=f"models/{path.name}")


def model_file(out: Path, unit: str) -> Path:
    """Where a unit keeps the model that it made."""
    return out / "models" / f"{unit[:16]}.safetensors"


def _train(inner: nn.Module, unit: Unit, context: Context, epochs: int, *, further: bool) -> None:
    """Train a bare model in place, from its seed."""
    how = trained(context.plan, context.data, context.device, seed=unit.seed, epochs=epochs, further=further)
    if how is not None:
        how.run(inner, 0, how.steps, lambda optimiser: None)


def _score(unit: Unit, made: Mapping[str, VariantRow], context: Context) -> None:
    """Score a dense model, and keep the scores in the run's folder."""
    assert unit.basis is not None
    found = _scored(_load(made[unit.parents[0]], context), unit.basis, unit, context)
    scoring.save(found, scores.file(context.out, unit.id))


def _scored(model: nn.Module, basis: Recipe, unit: Unit, context: Context) -> scoring.Scores:
    return scoring.score(
        model.to(context.device), basis,
        example_input=context.data.test.x[:1], generator=torch.Generator().manual_seed(unit.seed),
        sample=scores.sample(context.plan, context.data, context.device),
    )  # fmt: skip


def _prune(
    unit: Unit, inner: nn.Module, context: Context, known: scoring.Known | None = None
) -> tuple[Pruned, str]:
    """The dense model pruned as its method says, and how it was trained. ``known``: the scores that the
    recipe wants; by default those that the unit's parents found."""
    plan, data = context.plan, context.data
    assert plan.pruning is not None
    recipe = plan.pruning.recipes[unit.method]
    example = data.test.x[:1]
    generator = torch.Generator().manual_seed(unit.seed)
    if known is None:
        known = scores.known(recipe, unit.parents[1:], context.out)
    sample = scores.sample(plan, data, "cpu")

    def one_shot(model: nn.Module, sparsity: float | None, kept: masks.Masks | None = None) -> Pruned:
        return prune(
            model, recipe, sparsity, example_input=example, generator=generator, sample=sample,
            known=known if model is inner else None, kept=kept,
        )  # fmt: skip

    with_these = means(plan, data, context.device, one_shot, recipe, seed=unit.seed, origin=unit.origin)
    pruned = procedure.follow(inner, recipe, unit.sparsity, with_these, example)
    return pruned, "; ".join(filter(None, (trained_for(plan, recipe, with_these), pruned.note)))


def _reference(unit: Unit, made: Mapping[str, VariantRow], context: Context) -> None:
    """Make one reference model, as its variant was made but on a half of the data of its own; keep what it
    says of the judged examples, and where others start from it, the model itself."""
    del made
    plan, half = context.plan, references.halved(context.data, context.plan, unit.reference)
    own = replace(context, data=half)
    build, example = models.builder(plan, half), half.test.x[:1]
    if unit.method == "dense":
        inner = models.fresh(build, unit.seed)
        _train(inner, unit, own, plan.train.epochs if plan.train else 0, further=False)
        storage.save(inner, references.model_file(context.out, unit.id))
    else:
        inner = storage.load(references.model_file(context.out, unit.parents[0]), build, example)
        if unit.method == "dense-finetuned":
            _train(inner, unit, own, plan.control_epochs, further=True)
        else:
            assert plan.pruning is not None
            bases = scoring.bases(plan.pruning.recipes[unit.method])
            known = {basis: _scored(inner, basis, unit, own) for basis in bases}
            inner = _prune(unit, inner, own, known)[0].model
    references.keep(
        inner, plan, context.data, context.device, references.file(context.out, unit.id),
        batch_size(half.test.x[0].numel()),
    )  # fmt: skip


def _checkpoint(
    unit: Unit, made: Mapping[str, VariantRow], context: Context, row: VariantRow
) -> tuple[nn.Module, tuple[Removal, ...], VariantRow]:
    """A pruned checkpoint of the user's own."""
    plan, data = context.plan, context.data
    variant = next(v for v in plan.variant if v.name == unit.variant)
    build = models.builder(plan, data)
    found = models.restore(
        variant.weights, plan, models.builder(plan, data, variant.build), data,
        f"[[variant]] {variant.name!r} weights",
    )  # fmt: skip
    original = _load(made[unit.parents[0]], context) if unit.parents else None
    note = models.described(found, models.fresh(build, 0), original)
    if original is None:
        note += "; dense was trained by this plan: it is not the model that this one was pruned from"
    achieved = _achieved(found.model, build, data)
    return found.model, found.history, replace(row, sparsity=None, achieved_sparsity=achieved, note=note)


def _achieved(inner: nn.Module, build: models.Build, data: Data) -> float:
    """Share of the dense model's prunable parameters that are gone, counted in the model as it is."""
    example = data.test.x[:1]
    dense = measure.size(models.fresh(build, 0).eval(), example).prunable
    return 1 - measure.size(inner.eval(), example).nonzero_prunable / dense


def _load(row: VariantRow, context: Context) -> nn.Module:
    """The bare model of a variant, read back from the run's folder; refuses a file that has changed."""
    path = _file(row, context)
    if not path.is_file() or file_digest(path) != row.digest:
        raise ValueError(
            f"{path} is missing or has changed since it was made: delete the run's folder and run again"
        )
    spec = next((v.build for v in context.plan.variant if v.name == row.variant), None)
    return storage.load(path, models.builder(context.plan, context.data, spec), context.data.test.x[:1])


def _file(row: VariantRow, context: Context) -> Path:
    assert row.file is not None
    return context.out / row.file


def _costs(unit: Unit, made: Mapping[str, VariantRow], context: Context) -> list[MeasurementRow]:
    """Size and speed of every variant of one seed."""
    dense = models.fresh(models.builder(context.plan, context.data), 0)
    rows = {made[parent].variant: made[parent] for parent in unit.parents if parent in made}
    found = costs.measure_all(
        {name: _load(row, context) for name, row in rows.items()},
        {name: _file(row, context) for name, row in rows.items()},
        prunable.counts(dense),
        unit.replicate, context.data.test.x[:1], context.device,
    )  # fmt: skip
    for name in unit.of:
        if name not in rows:
            found += _failed(unit, name, f"{name} could not be made, see its own error")
    return found


def _perturb(unit: Unit, made: Mapping[str, VariantRow], context: Context) -> None:
    """Make what fools one model on some examples, for other models to be tried with, and keep it in the run's
    folder."""
    target = _target(unit, made, context)
    path = perturbations_file(context.out, unit.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(f".{os.getpid()}.tmp")
    settings = context.plan.settings["evasion"]
    assert isinstance(settings, EvasionSettings)
    save_file(perturbations(target, settings, range(unit.first, unit.stop)), half)
    half.replace(path)


def perturbations_file(out: Path, unit: str) -> Path:
    """Where a unit keeps what fools its model."""
    return out / "perturbations" / f"{unit[:16]}.safetensors"


def _others(unit: Unit, context: Context) -> dict[str, list[dict[str, Tensor]]]:
    """What fools the other variants, on the unit's examples: dense by itself, and the rest together; for
    dense each by itself.

    A variant that could not be made has none.
    """
    found: dict[str, list[dict[str, Tensor]]] = {}
    for parent, source in zip(unit.parents[1 + unit.twins :], unit.sources, strict=True):
        path = perturbations_file(context.out, parent)
        if path.is_file():
            alone = unit.variant == "dense" or source == "dense"
            found.setdefault(source if alone else "other variants", []).append(load_file(path))
    return found


def _target(unit: Unit, made: Mapping[str, VariantRow], context: Context) -> Target:
    """The model that a unit is about, as an attack sees it."""
    plan, data = context.plan, context.data
    if unit.parents[0] not in made:
        raise ValueError(f"{unit.variant} could not be made, see its own error")
    return Target(
        model=models.wrap(_load(made[unit.parents[0]], context), plan, data).to(context.device),
        num_classes=len(data.classes),
        bounds=data.bounds,
        test=data.test,
        members=data.train,
        nonmembers=data.heldout if data.train is not None else None,
        pool=data.pool,
        surrogate=lambda seed: _untrained(seed, context),
        others=lambda examples: _others(unit, context),
        features=features(plan, data),
        adaptive=adaptive(plan) if unit.probe == "evasion" else None,
        trigger=trigger(plan, data) if unit.probe == "tampering" else None,
        batch_size=batch_size(data.test.x[0].numel()),
        block=unit.block or LARGEST,
        blocks=unit.blocks,
        twin=_twin(unit, made, context),
        **(_held(unit, made, context) if unit.probe == "membership" else {}),
    )  # fmt: skip


def _twin(unit: Unit, made: Mapping[str, VariantRow], context: Context) -> Callable[[], nn.Module] | None:
    """Reads the dense model beside the one that a unit is about; None where it has none."""
    found = next((made[parent] for parent in unit.parents[1 : 1 + unit.twins] if parent in made), None)
    if found is None:
        return None
    return lambda: models.wrap(_load(found, context), context.plan, context.data).to(context.device)


def _untrained(seed: int, context: Context) -> nn.Module:
    """What an attacker would train: the architecture with new weights."""
    plan, data = context.plan, context.data
    if plan.model.black_box:
        raise ValueError('a black box shows no architecture to copy: surrogate = "smaller" is what there is')
    return models.wrap(models.fresh(models.builder(plan, data), seed), plan, data).requires_grad_(True)


def _held(unit: Unit, made: Mapping[str, VariantRow], context: Context) -> dict[str, Any]:
    """What a membership attacker has beside the model: reference models, and other models of the subject."""
    plan, data, out, company = context.plan, context.data, context.out, unit.company
    kind = made[unit.parents[0]].method
    missing = references.FOREIGN if kind == "checkpoint" else ""

    def model(variant: str, held: str, units: tuple[str, ...]) -> Held:
        if held not in made:
            raise ValueError(f"{variant} could not be made, see its own error")
        whole = models.wrap(_load(made[held], context), plan, data).to(context.device)
        return Held(whole, lambda: references.gathered(units, plan, data, out))

    return {
        "references": lambda: references.gathered(company.references, plan, data, out, missing),
        "dense_references": None
        if unit.variant == "dense"
        else lambda: references.gathered(company.dense, plan, data, out),
        "held": lambda: {variant: model(variant, held, units) for variant, held, units in company.held},
    }


def _piece(unit: Unit, given: Given, context: Context) -> Part:
    """Do one stage of a probe's work on some of the examples."""
    _refuse_gaps(given)
    target, cut = _target(unit, given.made, context), probes()[unit.probe].cut
    assert cut is not None
    settings, some = context.plan.settings[unit.probe], range(unit.first, unit.stop)
    with _luck(unit) as generator:
        return cut.stages[unit.stage].piece(target, settings, generator, given.known, some)


def _refuse_gaps(given: Given) -> None:
    if given.lost:
        raise PieceFailedError(given.lost)


def _probe(unit: Unit, given: Given, context: Context) -> list[MeasurementRow]:
    """Measure one model by one probe: whole, or by joining what its pieces left."""
    if context.plan.model.black_box and unit.probe == "tampering":
        return _rowless(unit, unit.variant, "not_applicable", black_box.SEALED)
    _refuse_gaps(given)
    target, probe = _target(unit, given.made, context), probes()[unit.probe]
    settings = context.plan.settings[unit.probe]
    with _luck(unit) as generator:
        if unit.pieces and probe.cut is not None:
            found = probe.cut.join(target, settings, generator, given.known)
        else:
            found = probe.run(target, settings, generator)
    return [
        MeasurementRow(
            unit.variant, unit.replicate, unit.probe, m.metric, m.at, m.value, m.low, m.high, m.n, m.status,
            m.note, m.outcomes,
        )
        for m in found
    ] + list(black_box.refusals(context.plan, unit.probe, unit.replicate))  # fmt: skip


@contextmanager
def _luck(unit: Unit) -> Iterator[torch.Generator]:
    """The unit's own random numbers; torch's global ones too, for models that draw from them."""
    with torch.random.fork_rng():
        torch.manual_seed(unit.seed)
        yield torch.Generator().manual_seed(unit.seed)


def batch_size(values: int) -> int:
    """Examples that go through a model at once, by the values of one: a power of two, at most 256."""
    return min(256, 1 << int(math.log2(max(1, VALUES // values))))


KEPT = {"score": _score, "perturbations": _perturb, "reference": _reference}
"""Units whose find is kept in a file, for other units."""
