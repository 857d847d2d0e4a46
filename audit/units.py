"""A plan's work as units: dense models → scores → pruned models → probes; costs last, alone."""

from collections.abc import Iterator, Mapping
from typing import Any

from attacks.probe import Sizes
from audit import measuring, references
from audit.cutting import WHOLE, Cutting
from audit.plan import Plan, PruningPlan
from audit.subject.data import Data
from audit.unit import MODELS, Company, Namer, Unit, chosen, sources
from pruning import schedule, scoring
from pruning.recipe import Recipe


def units(plan: Plan, data: Data, device: str, cutting: Cutting = WHOLE) -> list[Unit]:
    """Every unit of the plan, parents before children. ``cutting`` decides how many pieces there are, and
    nothing that is found."""
    namer = Namer(plan, data, device)
    members = 0 if data.train is None else len(data.train)
    makers = list(_models(plan, namer, _epoch(plan, data)))
    models = [unit for unit in makers if unit.kind in MODELS]
    sizes = Sizes(len(data.test), members, 0 if data.train is None else len(data.heldout))
    cuts = measuring.cuts(plan, sizes, cutting)
    perturbed = measuring.perturbations(plan, namer, models, cuts)
    copies = _references(plan, data, namer)
    measured: list[Unit] = []
    for model in models:
        for probe in plan.probes:
            sources = _sources_of(model, models) if probe == "evasion" and perturbed else []
            company = _company(plan, model, models, copies) if probe == "membership" else Company()
            shifts = {source.variant: perturbed[source.id] for source in sources}
            twins = _dense_of(model, models) if probe == "evasion" else ()
            measured += measuring.units(
                plan, namer, probe, model, sources, shifts, cuts[probe], company, twins
            )
    costs = []
    for replicate in plan.seeds:
        ours = tuple(model for model in models if model.replicate == replicate)
        names = tuple(model.variant for model in ours)
        costs.append(namer.unit("cost", "all variants", replicate, {}, ours, probe="cost", of=names))
    beside = [unit for some in copies.values() for unit in some]
    fooling = [unit for some in perturbed.values() for unit in some]
    return [*makers, *beside, *fooling, *measured, *costs]


def _references(plan: Plan, data: Data, namer: Namer) -> dict[str, tuple[Unit, ...]]:
    """The reference models by variant, for all its seeds; empty if the plan wants, or can have, none."""
    wanted = references.settings(plan)
    if wanted is None or references.lacking(plan, data):
        return {}
    asked = {"examples": wanted.examples, "augmented": wanted.augmented_references}
    seed, count, epochs = plan.seeds[0], wanted.references, plan.finetune_epochs
    epoch, whole = _epoch(plan, data), plan.train.epochs if plan.train else 0

    def each(variant: str, what: Mapping[str, Any], dense: tuple[Unit, ...], **more: Any) -> tuple[Unit, ...]:
        """``dense``: their parents."""
        return tuple(
            namer.unit(
                "reference", variant, seed, {**asked, **what, "reference": i}, dense[i : i + 1],
                reference=i, origin=dense[i].seed if dense else 0,
                passes=(epochs if dense else whole) * epoch / 2, **more,
            )
            for i in range(count)
        )  # fmt: skip

    dense = each("dense", {}, (), method="dense")
    found = {"dense": dense}
    if plan.pruning is None:
        return found
    if plan.control_epochs:
        found["dense-finetuned"] = each(
            "dense-finetuned", {"epochs": plan.control_epochs}, dense, method="dense-finetuned"
        )
    for variant, method, sparsity in _variants(plan.pruning):
        what = {"recipe": plan.pruning.recipes[method].model_dump(mode="json"), "sparsity": sparsity}
        found[variant] = each(variant, {**what, "epochs": epochs}, dense, method=method, sparsity=sparsity)
    return found


def _variants(pruning: PruningPlan) -> Iterator[tuple[str, str, float | None]]:
    """Name, method and sparsity of every pruned model."""
    for method, recipe in pruning.recipes.items():
        for sparsity in pruning.sparsities if recipe.sweeps else (None,):
            yield method if sparsity is None else f"{method}@{sparsity:g}", method, sparsity


def _company(plan: Plan, model: Unit, models: list[Unit], copies: Mapping[str, tuple[Unit, ...]]) -> Company:
    """What the attackers of the plan are given beside a model."""
    attackers = plan.probes["membership"].get("attackers", ())

    def ids(variant: str) -> tuple[str, ...]:
        return tuple(unit.id for unit in copies.get(variant, ()))

    pruned = model.kind != "dense"  # or fine-tuned
    held = []
    if pruned and attackers:
        others = [other for other in models if other.id != model.id and other.replicate == model.replicate]
        held = [
            m for m in _sources_of(model, models) if m.kind == "dense" and {"pair", "versions"} & {*attackers}
        ]
        held += [m for m in others if m.kind == "pruned" and "versions" in attackers]
    return Company(
        ids(model.variant),
        ids("dense") if pruned and "recipe_unknown" in attackers else (),
        tuple((other.variant, other.id, ids(other.variant)) for other in held),
    )


def _sources_of(model: Unit, models: list[Unit]) -> list[Unit]:
    """Every other model of the same seed; and the dense one, where there is one for all seeds."""
    dense = [other for other in models if other.kind == "dense"]
    return [
        other
        for other in models
        if other.id != model.id
        and (other.replicate == model.replicate or (other.kind == "dense" and len(dense) == 1))
    ]


def _dense_of(model: Unit, models: list[Unit]) -> tuple[Unit, ...]:
    """The dense model of the same seed, or that of all seeds; none for a dense one."""
    if model.kind == "dense":
        return ()
    return tuple(m for m in _sources_of(model, models) if m.kind == "dense")[:1]


def _models(plan: Plan, namer: Namer, epoch: float) -> Iterator[Unit]:
    """``epoch``: the passes that one epoch of training takes."""
    epochs = plan.train.epochs if plan.train and not plan.model.given else 0
    work = epochs * epoch
    dense = {
        seed: namer.unit("dense", "dense", seed, {}, method="dense", passes=work) for seed in plan.dense_seeds
    }
    yield from dense.values()
    scored: dict[tuple[str, Recipe], Unit] = {}
    if plan.pruning is not None:
        epochs = plan.finetune_epochs
        for seed in plan.seeds:
            parent = dense.get(seed, next(iter(dense.values())))
            if plan.control_epochs:
                yield namer.unit(
                    "control",
                    "dense-finetuned",
                    seed,
                    {"epochs": plan.control_epochs},
                    (parent,),
                    method="dense-finetuned",
                    passes=plan.control_epochs * epoch,
                )
            for method, recipe in plan.pruning.recipes.items():
                scores: list[Unit] = []
                for basis in scoring.bases(recipe):
                    if (parent.id, basis) not in scored:
                        scored[parent.id, basis] = _score(namer, basis, parent)
                        yield scored[parent.id, basis]
                    scores.append(scored[parent.id, basis])
                for sparsity in plan.pruning.sparsities if recipe.sweeps else (None,):
                    what = {"recipe": recipe.model_dump(mode="json"), "sparsity": sparsity, "epochs": epochs}
                    name = method if sparsity is None else f"{method}@{sparsity:g}"
                    yield namer.unit(
                        "pruned", name, seed, what, (parent, *scores),
                        origin=parent.seed, method=method, sparsity=sparsity,
                        passes=_epochs(plan, recipe) * epoch,
                    )  # fmt: skip
    for variant in plan.variant:
        code = sources(plan, variant.build or "")
        files = {"build": variant.build, "code": code, "weights": chosen(plan, variant.weights)}
        parents = tuple(dense.values()) if plan.model.weights is not None else ()  # its dense original
        yield namer.unit("checkpoint", variant.name, plan.seeds[0], files, parents, method="checkpoint")


def _score(namer: Namer, basis: Recipe, parent: Unit) -> Unit:
    what = {"basis": basis.model_dump(mode="json")}
    return namer.unit("score", basis.name, parent.replicate, what, (parent,), basis=basis)


def _epochs(plan: Plan, recipe: Recipe) -> int:
    """Epochs that a variant is trained for after the dense training."""
    if recipe.rewind is not None and plan.train is not None:
        return plan.train.epochs * (recipe.steps or 1)
    return schedule.epochs(recipe, plan.finetune_epochs)


def _epoch(plan: Plan, data: Data) -> float:
    """Passes of one example that an epoch of training takes."""
    return float(len(data.train) * plan.train.passes) if data.train is not None and plan.train else 0.0
