"""A unit of work, and its name: the hash of what determines what it finds."""

import functools
import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

import attacks
import audit
import pruning
from attacks.registry import plugins
from audit.plan import Plan, WeightsPlan
from audit.subject.data import Data
from pruning import criteria
from pruning.recipe import Recipe
from reports.data.ledger import canonical

Kind = Literal[
    "dense",
    "control",
    "score",
    "pruned",
    "checkpoint",
    "reference",
    "perturbations",
    "piece",
    "probe",
    "cost",
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
    """The variants whose perturbations are tried, one for each parent after the models."""
    reference: int = -1
    """Of a reference model: its number."""
    company: Company = Company()
    """Of a membership probe."""
    twins: int = 0
    """How many of the parents after the first are models that a probe is handed beside it."""
    stage: int = 0
    """Of a piece: the stage of its probe's work, and what is done there."""
    doing: str = ""
    first: int = 0
    stop: int = 0
    """The examples that it is about, in the order of the probe; none (0, 0) where it is about all."""
    block: int = 0
    """Examples that are gone through together."""
    blocks: tuple[int, ...] = ()
    """The same of each stage of a probe."""
    pieces: tuple[int, ...] = ()
    """How many of its parents, the last ones, are pieces of each stage before it, in order; none where a
    probe is done whole."""
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
            "dense": "train" if self.passes else "load",
            "control": "fine-tune", "pruned": "prune", "checkpoint": "load",
            "perturbations": "perturb for", "reference": f"reference {self.reference + 1} of",
        }  # fmt: skip
        some = f" examples {self.first}–{self.stop - 1}" if self.stop else ""
        what = verbs.get(self.kind, " ".join(filter(None, (self.probe or self.kind, self.doing))))
        return f"{what} {self.variant} seed {self.replicate}{some}"

    @property
    def alone(self) -> bool:
        """Timings are taken while nothing else runs."""
        return self.kind == "cost"


@functools.cache
def code_version() -> str:
    """Hash of every source file that a result can depend on, other packages' probes, attacks and criteria
    too, and of torch's version."""
    digest = hashlib.sha256(torch.__version__.encode())
    for label, file in {**plugins(), **criteria.plugins()}.items():
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
        "sources": sources(plan, plan.model.build, plan.data.source, (plan.train and plan.train.fit) or ""),
        "data": data.digest,
        "train": plan.train.model_dump(mode="json", exclude_none=True) if plan.train else None,
    }


def _machine(device: str) -> dict[str, str]:
    return {"code": code_version(), "device": device, "machine": platform.machine()}


def identity(plan: Plan, data: Data, device: str) -> dict[str, Any]:
    """What all units of a run share, by name: whose folder it is. It is the subject (model, weights, training
    recipe, the user's own code, data), and what computes: this version of the code and of torch, the device,
    the kind of machine. Nothing of what is pruned or measured is in it."""
    found: dict[str, Any] = {"examples.audited": len(data.test)}  # the data's digest, said for people
    for name, value in {**_subject(plan, data), **_machine(device)}.items():
        found |= (
            {f"{name}.{key}": v for key, v in value.items()} if isinstance(value, dict) else {name: value}
        )
    return found


class Namer:
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
        company: Company = Company(),
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
        ids = (*(parent.id for parent in parents), *company.units)
        return Unit(
            _hash({**name, "parents": ids, "machine": self._machine}),
            seed,
            kind,
            variant,
            replicate,
            (*ids, *(parent.id for parent in after)),
            company=company,
            **more,
        )

    def seed(self, kind: Kind, replicate: int, what: Mapping[str, Any]) -> int:
        """Of a probe: the same attacker, with the same luck, meets every variant of a replicate."""
        luck = {key: value for key, value in what.items() if key not in ("blocks", "sources")}
        drawn = {"kind": kind, "what": luck, "replicate": replicate, "subject": self._subject}
        return int(_hash(drawn)[:15], 16)


def _weights(plan: Plan) -> list[str | None] | None:
    return None if plan.model.weights is None else chosen(plan, plan.model.weights)


def chosen(plan: Plan, weights: WeightsPlan) -> list[str | None]:
    """What determines the weights that are read of a file: what it holds, not its name."""
    return [file_digest(plan.path(weights.file)), weights.key, weights.strip_prefix]


def sources(plan: Plan, *specs: str) -> dict[str, str]:
    """Digests of the files of the user's own code that ``specs`` (FILE.py:FUNCTION) name: a change to the
    code is a change of what it makes."""
    files = {spec.partition(":")[0] for spec in specs if spec.partition(":")[0].endswith(".py")}
    files |= {f"{spec.removeprefix('hf:')}/config.json" for spec in specs if spec.startswith("hf:")}
    if plan.model.black_box:
        program = plan.model.build.partition(":")[2]
        files |= {program, f"{program}.data"}
    return {f: file_digest(plan.folder / f) for f in sorted(files) if (plan.folder / f).is_file()}
