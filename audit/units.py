"""A plan's work as units: dense models → scores → pruned models → probes; named by what determines them."""

import functools
import hashlib
import importlib.util
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

import attacks
import audit
import pruning
from attacks.probe import Probe, Sizes
from attacks.registry import plugins, probes
from audit.cutting import WHOLE, Cutting
from audit.plan import Plan
from audit.subject.data import Data
from pruning import scoring
from pruning.recipe import Recipe
from reports.data.ledger import canonical

Kind = Literal["dense", "control", "score", "pruned", "checkpoint", "perturbations", "piece", "probe", "cost"]
UNKNOWN = 50.0
"""Passes for each audit example, in order of magnitude, of a probe that does not say."""
JOINED = 50
"""Joining the pieces of a probe takes the passes of so many examples: attack health, mostly."""
MODELS = ("dense", "control", "pruned", "checkpoint")


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
    first: int = 0
    stop: int = 0
    """The examples that it is about, in the order of the probe; none (0, 0) where it is about all."""
    block: int = 0
    """Examples that are gone through together."""
    pieces: int = 0
    """Of a probe: how many of its parents, the last ones, are its pieces; 0 where it is done whole."""
    examples: int = 0
    """How many examples it goes through, for progress; 0 where it is about none, or joins pieces."""
    passes: float = 0.0
    """Forward and backward passes of one example that it takes, roughly: long ways go first."""

    @property
    def family(self) -> str:
        """What its time is told with: its probe, or its kind."""
        return self.probe or self.kind

    @property
    def label(self) -> str:
        """For people: what is being done to which model."""
        verbs = {
            "dense": "train", "control": "fine-tune", "pruned": "prune", "checkpoint": "load",
            "perturbations": "perturb for",
        }  # fmt: skip
        some = f" examples {self.first}–{self.stop - 1}" if self.stop else ""
        return f"{verbs.get(self.kind, self.probe or self.kind)} {self.variant} seed {self.replicate}{some}"

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


def _subject(plan: Plan, data: Data) -> dict[str, Any]:
    return {
        "model": {**plan.model.model_dump(mode="json"), "weights": _weights(plan)},
        "sources": _sources(plan),
        "data": data.digest,
        "train": plan.train.model_dump(mode="json") if plan.train else None,
    }


def _machine(device: str) -> dict[str, str]:
    return {"code": code_version(), "device": device, "machine": platform.machine()}


def identity(plan: Plan, data: Data, device: str) -> dict[str, Any]:
    """What all units of a run share, by name: whose folder it is. It is the subject (model, weights, training
    recipe, the user's own code, data), and what computes: this version of the code and of torch, the device,
    the kind of machine. Nothing of what is pruned or measured is in it."""
    found: dict[str, Any] = {}
    for name, value in {**_subject(plan, data), **_machine(device)}.items():
        found |= (
            {f"{name}.{key}": v for key, v in value.items()} if isinstance(value, dict) else {name: value}
        )
    return found


class _Namer:
    """Makes units of one run: what is common to all of them is hashed into every name."""

    def __init__(self, plan: Plan, data: Data, device: str) -> None:
        self._subject, self._machine = _subject(plan, data), _machine(device)

    def unit(
        self,
        kind: Kind,
        variant: str,
        replicate: int,
        what: Mapping[str, Any],
        parents: tuple[Unit, ...] = (),
        after: tuple[Unit, ...] = (),
        **more: Any,
    ) -> Unit:
        """``after``: further parents, which add nothing to what determines the unit."""
        name = {
            "kind": kind,
            "what": dict(what),
            "variant": variant,
            "replicate": replicate,
            "subject": self._subject,
        }
        drawn = {**name, "parents": [parent.seed for parent in parents]}
        seed = int(_hash(drawn)[:15], 16)
        ids = tuple(parent.id for parent in parents)
        return Unit(
            _hash({**name, "parents": ids, "machine": self._machine}),
            seed,
            kind,
            variant,
            replicate,
            (*ids, *(parent.id for parent in after)),
            **more,
        )

    def seed(self, kind: Kind, replicate: int, what: Mapping[str, Any]) -> int:
        """Of a probe: the same attacker, with the same luck, meets every variant of a replicate."""
        luck = {key: value for key, value in what.items() if key not in ("block", "sources")}
        drawn = {"kind": kind, "what": luck, "replicate": replicate, "subject": self._subject}
        return int(_hash(drawn)[:15], 16)


def units(plan: Plan, data: Data, device: str, cutting: Cutting = WHOLE) -> list[Unit]:
    """Every unit of the plan, parents before children. ``cutting`` decides how many pieces there are, and
    nothing that is found."""
    namer = _Namer(plan, data, device)
    members = 0 if data.train is None else len(data.train)
    makers = list(_models(plan, namer, members))
    models = [unit for unit in makers if unit.kind in MODELS]
    sizes = Sizes(len(data.test), members, 0 if data.train is None else len(data.heldout))
    cuts = {name: _cut(probe, plan.settings[name], sizes, cutting) for name, probe in _planned(plan).items()}
    perturbed = _perturbations(plan, namer, models, cuts)
    measured: list[Unit] = []
    for model in models:
        for probe in plan.probes:
            sources = _sources_of(model, models) if probe == "evasion" and perturbed else []
            measured += _measuring(plan, namer, probe, model, sources, perturbed, cuts[probe])
    costs = []
    for replicate in plan.seeds:
        ours = tuple(model for model in models if model.replicate == replicate)
        names = tuple(model.variant for model in ours)
        costs.append(namer.unit("cost", "all variants", replicate, {}, ours, probe="cost", of=names))
    shifts = [unit for some in perturbed.values() for unit in some]
    return [*makers, *shifts, *measured, *costs]


@dataclass(frozen=True, slots=True)
class _Cuts:
    """Of one probe: its examples (0: it is not told), and the ranges they are cut into."""

    examples: int
    block: int
    ranges: list[range]
    passes: float
    """Of one example."""

    @property
    def pieces(self) -> list[range]:
        """None where the probe is done whole."""
        return self.ranges if len(self.ranges) > 1 else []


def _planned(plan: Plan) -> dict[str, Probe]:
    return {name: probe for name, probe in probes().items() if name in plan.probes}


def _cut(probe: Probe, settings: Any, sizes: Sizes, cutting: Cutting) -> _Cuts:
    if probe.cut is None:
        return _Cuts(sizes.test, 0, [], UNKNOWN)
    examples, passes = probe.cut.examples(sizes, settings), probe.cut.passes(settings)
    if not examples:
        return _Cuts(sizes.test, 0, [], passes)
    return _Cuts(examples, cutting.block(passes), cutting.shards(examples, passes), passes)


def _measuring(
    plan: Plan,
    namer: _Namer,
    probe: str,
    model: Unit,
    sources: list[Unit],
    perturbed: Mapping[str, list[Unit]],
    cuts: _Cuts,
) -> Iterator[Unit]:
    """The unit that measures one model by one probe, after its pieces. What it finds does not depend on them,
    so its name does not either."""
    settings = plan.probes[probe]
    what = {
        "probe": probe,
        "settings": settings,
        "block": cuts.block,
        "sources": [source.id for source in sources],
        **(_evasion(plan, settings) if probe == "evasion" else {}),
    }
    names = tuple(source.variant for source in sources)
    pieces = []
    for place, some in enumerate(cuts.pieces):
        piece = namer.unit(
            "piece", model.variant, model.replicate, {**what, "examples": [some.start, some.stop]}, (model,),
            tuple(perturbed[source.id][place] for source in sources), probe=probe, sources=names,
            first=some.start, stop=some.stop, block=cuts.block, examples=len(some),
            passes=cuts.passes * len(some),
        )  # fmt: skip
        pieces.append(replace(piece, seed=namer.seed("probe", model.replicate, what)))
    yield from pieces
    shifts = () if pieces else tuple(unit for source in sources for unit in perturbed[source.id])
    yield replace(
        namer.unit(
            "probe", model.variant, model.replicate, what, (model,), (*shifts, *pieces),
            probe=probe, of=(model.variant,), sources=() if pieces else names, block=cuts.block,
            pieces=len(pieces), examples=0 if pieces else cuts.examples,
            passes=cuts.passes * (JOINED if pieces else cuts.examples),
        ),
        seed=namer.seed("probe", model.replicate, what),
    )  # fmt: skip


def _perturbations(
    plan: Plan, namer: _Namer, models: list[Unit], cuts: Mapping[str, _Cuts]
) -> dict[str, list[Unit]]:
    """By model's id, the units that perturb the audit examples for it, one for each piece of evasion; empty
    if the plan does not ask for transfer."""
    settings = plan.probes.get("evasion", {})
    if not settings.get("transfer"):
        return {}
    cut = cuts["evasion"]
    balls = {key: settings[key] for key in ("norms", "eps")} | _evasion(plan, {}) | {"block": cut.block}
    return {
        model.id: [
            namer.unit(
                "perturbations", model.variant, model.replicate,
                {**balls, "examples": [some.start, some.stop]}, (model,), probe="perturbations",
                first=some.start, stop=some.stop, block=cut.block, examples=len(some),
                passes=60.0 * len(some),
            )
            for some in cut.pieces or [range(cut.examples)]
        ]
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


def _models(plan: Plan, namer: _Namer, members: int) -> Iterator[Unit]:
    epochs = plan.train.epochs if plan.train and plan.model.weights is None else 0
    work = float(epochs * members)
    dense = {
        seed: namer.unit("dense", "dense", seed, {}, method="dense", passes=work) for seed in plan.dense_seeds
    }
    yield from dense.values()
    scored: dict[tuple[str, Recipe], Unit] = {}
    if plan.pruning is not None:
        epochs = plan.finetune_epochs
        for seed in plan.seeds:
            parent = dense.get(seed, next(iter(dense.values())))
            if epochs:
                yield namer.unit(
                    "control",
                    "dense-finetuned",
                    seed,
                    {"epochs": epochs},
                    (parent,),
                    method="dense-finetuned",
                    passes=float(epochs * members),
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
                        origin=parent.seed, method=method, sparsity=sparsity, passes=float(epochs * members),
                    )  # fmt: skip
    for variant in plan.variant:
        files = {"build": variant.build, "weights": file_digest(plan.path(variant.weights))}
        yield namer.unit("checkpoint", variant.name, plan.seeds[0], files, method="checkpoint")


def _score(namer: _Namer, basis: Recipe, parent: Unit) -> Unit:
    what = {"basis": basis.model_dump(mode="json")}
    return namer.unit("score", basis.name, parent.replicate, what, (parent,), basis=basis)


def _weights(plan: Plan) -> str | None:
    return None if plan.model.weights is None else file_digest(plan.path(plan.model.weights))


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
