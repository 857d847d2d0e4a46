"""A plan's work as units: dense models → scores → pruned models → probes; named by what determines them."""

import functools
import hashlib
import importlib.util
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

import attacks
import audit
import pruning
from attacks.registry import plugins
from audit import references
from audit.plan import Plan, PruningPlan, WeightsPlan
from audit.subject.data import Data
from pruning import scoring
from pruning.recipe import Recipe
from reports.data.ledger import canonical

Kind = Literal[
    "dense", "control", "score", "pruned", "checkpoint", "reference", "perturbations", "probe", "cost"
]
MODELS = ("dense", "control", "pruned", "checkpoint")


@dataclass(frozen=True, slots=True)
class Company:
    """What a membership probe is given beside its model, by unit ids."""

    references: tuple[str, ...] = ()
    """Reference models made as the model was, in order."""
    dense: tuple[str, ...] = ()
    """The same left dense."""
    held: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    """Other models that an attacker holds: variant, unit, and its references."""

    @property
    def units(self) -> tuple[str, ...]:
        """All of them, once each."""
        held = (unit for _, model, references in self.held for unit in (model, *references))
        return tuple(dict.fromkeys((*self.references, *self.dense, *held)))


@dataclass(frozen=True, slots=True)
class Unit:
    """One piece of work that writes its result once.

    ``id`` hashes what determines the result, the code and the machine's libraries included; ``seed`` hashes
    the same without code and libraries, so that a new version of the program draws the same random numbers.
    """

    id: str
    seed: int
    kind: Kind
    variant: str
    replicate: int
    """The plan's seed that this unit replicates."""
    parents: tuple[str, ...] = ()
    """Units that must have finished. The first is the model a probe measures or a recipe starts from; the
    others of a pruned model found the scores it wants, in the order of ``scoring.bases``."""
    origin: int = 0
    """Of a pruned model: the seed that its dense parent was trained from, if it was trained."""
    method: str = ""
    sparsity: float | None = 0.0
    """None where a recipe's threshold decides."""
    basis: Recipe | None = None
    """What is scored, once for every method and sparsity that goes by these scores."""
    probe: str = ""
    of: tuple[str, ...] = ()
    """The variants that are measured, one for each parent."""
    sources: tuple[str, ...] = ()
    """The variants whose perturbations are tried, one for each parent after the first."""
    reference: int = -1
    """Of a reference model: its number."""
    company: Company = Company()
    """Of a membership probe."""

    @property
    def label(self) -> str:
        """For people: what is being done to which model."""
        verbs = {
            "dense": "train", "control": "fine-tune", "pruned": "prune", "checkpoint": "load",
            "perturbations": "perturb for", "reference": f"reference {self.reference + 1} of",
        }  # fmt: skip
        return f"{verbs.get(self.kind, self.probe or self.kind)} {self.variant} seed {self.replicate}"

    @property
    def alone(self) -> bool:
        """Timings are taken while nothing else runs."""
        return self.kind == "cost"


@functools.cache
def code_version() -> str:
    """Hash of every source file that a result can depend on, other packages' probes and attacks too, and of
    torch's version."""
    digest = hashlib.sha256(torch.__version__.encode())
    for label, file in plugins().items():
        digest.update(label.encode() + b"\0" + (file.read_bytes() if file else b""))
    for package in (attacks, audit, pruning):
        folder = Path(package.__path__[0])
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _hash(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Namer:
    """Makes units of one run: what is common to all of them is hashed into every name."""

    def __init__(self, plan: Plan, data: Data, device: str) -> None:
        self._subject = {
            "model": {**plan.model.model_dump(mode="json"), "weights": _weights(plan)},
            "sources": _sources(plan),
            "data": data.digest,
            "train": plan.train.model_dump(mode="json") if plan.train else None,
        }
        self._machine = {"code": code_version(), "device": device, "machine": platform.machine()}

    def unit(
        self,
        kind: Kind,
        variant: str,
        replicate: int,
        what: Mapping[str, Any],
        parents: tuple[Unit, ...] = (),
        company: Company = Company(),
        **more: Any,
    ) -> Unit:
        name = {
            "kind": kind,
            "what": dict(what),
            "variant": variant,
            "replicate": replicate,
            "subject": self._subject,
        }
        drawn = {**name, "parents": [parent.seed for parent in parents]}
        if kind == "probe":  # the same attacker, with the same luck, meets every variant of a replicate
            del drawn["variant"], drawn["parents"]
        seed = int(_hash(drawn)[:15], 16)
        ids = (*(parent.id for parent in parents), *company.units)
        return Unit(
            _hash({**name, "parents": ids, "machine": self._machine}),
            seed,
            kind,
            variant,
            replicate,
            ids,
            company=company,
            **more,
        )


def units(plan: Plan, data: Data, device: str) -> list[Unit]:
    """Every unit of the plan, parents before children."""
    namer = _Namer(plan, data, device)
    makers = list(_models(plan, namer))
    models = [unit for unit in makers if unit.kind in MODELS]
    perturbed = _perturbations(plan, namer, models)
    copies = _references(plan, data, namer)
    measured = []
    for model in models:
        for probe, settings in plan.probes.items():
            sources = _sources_of(model, models) if probe == "evasion" and perturbed else ()
            company = _company(plan, model, models, copies) if probe == "membership" else Company()
            measured.append(
                namer.unit(
                    "probe",
                    model.variant,
                    model.replicate,
                    {
                        "probe": probe,
                        "settings": settings,
                        **(_evasion(plan, settings) if probe == "evasion" else {}),
                    },
                    (model, *(perturbed[source.id] for source in sources)),
                    company=company,
                    probe=probe,
                    of=(model.variant,),
                    sources=tuple(source.variant for source in sources),
                )
            )
    costs = []
    for replicate in plan.seeds:
        ours = tuple(model for model in models if model.replicate == replicate)
        names = tuple(model.variant for model in ours)
        costs.append(namer.unit("cost", "all variants", replicate, {}, ours, probe="cost", of=names))
    beside = [unit for some in copies.values() for unit in some]
    return [*makers, *beside, *perturbed.values(), *measured, *costs]


def _references(plan: Plan, data: Data, namer: _Namer) -> dict[str, tuple[Unit, ...]]:
    """The reference models by variant, for all its seeds; empty if the plan wants, or can have, none."""
    wanted = references.settings(plan)
    if wanted is None or references.lacking(plan, data):
        return {}
    asked = {"examples": wanted.examples, "augmented": wanted.augmented_references}
    seed, count, epochs = plan.seeds[0], wanted.references, plan.finetune_epochs

    def each(variant: str, what: Mapping[str, Any], dense: tuple[Unit, ...], **more: Any) -> tuple[Unit, ...]:
        """``dense``: their parents."""
        return tuple(
            namer.unit(
                "reference", variant, seed, {**asked, **what, "reference": i}, dense[i : i + 1],
                reference=i, origin=dense[i].seed if dense else 0, **more,
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

    pruned = model.kind in ("pruned", "checkpoint")
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


def _perturbations(plan: Plan, namer: _Namer, models: list[Unit]) -> dict[str, Unit]:
    """By model's id, the unit that perturbs the audit examples for it; empty if no plan asks for transfer."""
    settings = plan.probes.get("evasion", {})
    if not settings.get("transfer"):
        return {}
    balls = {key: settings[key] for key in ("norms", "eps")} | _evasion(plan, {})
    return {
        model.id: namer.unit(
            "perturbations", model.variant, model.replicate, balls, (model,), probe="perturbations"
        )
        for model in models
    }  # fmt: skip


def _sources_of(model: Unit, models: list[Unit]) -> list[Unit]:
    """Every other model of the same seed; and the dense one, where there is one for all seeds."""
    dense = [other for other in models if other.kind == "dense"]
    return [
        other
        for other in models
        if other.id != model.id
        and (other.replicate == model.replicate or (other.kind == "dense" and len(dense) == 1))
    ]


def _models(plan: Plan, namer: _Namer) -> Iterator[Unit]:
    dense = {seed: namer.unit("dense", "dense", seed, {}, method="dense") for seed in plan.dense_seeds}
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
                    )  # fmt: skip
    for variant in plan.variant:
        files = {"build": variant.build, "weights": _chosen(plan, variant.weights)}
        parents = tuple(dense.values()) if plan.model.weights is not None else ()  # its dense original
        yield namer.unit("checkpoint", variant.name, plan.seeds[0], files, parents, method="checkpoint")


def _score(namer: _Namer, basis: Recipe, parent: Unit) -> Unit:
    what = {"basis": basis.model_dump(mode="json")}
    return namer.unit("score", basis.name, parent.replicate, what, (parent,), basis=basis)


def _weights(plan: Plan) -> list[str | None] | None:
    return None if plan.model.weights is None else _chosen(plan, plan.model.weights)


def _chosen(plan: Plan, weights: WeightsPlan) -> list[str | None]:
    """What determines the weights that are read of a file: what it holds, not its name."""
    return [file_digest(plan.path(weights.file)), weights.key, weights.strip_prefix]


def _evasion(plan: Plan, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What else determines evasion: the digest of the user's own attack, and what features may be."""
    features = plan.data.features
    said = {} if features is None else {"features": features.model_dump(mode="json")}
    spec = settings.get("adaptive")
    if not isinstance(spec, str):
        return said
    source = spec.partition(":")[0]
    if not source.endswith(".py"):
        found = importlib.util.find_spec(source)
        source = found.origin if found and found.origin else source
    path = plan.folder / source
    return {"adaptive": file_digest(path) if path.is_file() else source, **said}


def _sources(plan: Plan) -> dict[str, str]:
    """Digests of the user's own code that the plan names, so that a change to it is a change of the plan."""
    specs = [plan.model.build, plan.data.source, *(v.build for v in plan.variant if v.build)]
    files = {spec.partition(":")[0] for spec in specs}
    return {
        f: file_digest(plan.folder / f)
        for f in sorted(files)
        if f.endswith(".py") and (plan.folder / f).is_file()
    }
