"""The nouns of an attack: what it is given (Target), returns (Measurement) and says of itself (Card)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel
from torch import Tensor, nn

Status = Literal["ok", "not_applicable", "failed", "refused"]


@dataclass(frozen=True, slots=True)
class Examples:
    """Labelled examples. ``x``: (N, …) float32 in the user's own units; ``y``: (N,) int64 in [0, classes)."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: Tensor | slice) -> "Examples":
        return Examples(self.x[index], self.y[index])


@dataclass(frozen=True, slots=True)
class Features:
    """What an attacker may do to each feature. All broadcast to one input (…), in its own units."""

    scale: Tensor
    """By what ε counts in each, above zero; float64."""
    low: Tensor
    high: Tensor
    """Smallest and largest value of each; float64."""
    mutable: Tensor
    """Which can change at all; bool."""

    @property
    def reach(self) -> float:
        """The largest change that any feature allows, in its scales."""
        return float(torch.where(self.mutable, (self.high - self.low) / self.scale, 0.0).max())

    @property
    def words(self) -> str:
        """For a reader of the figures."""
        fixed = int((~self.mutable).sum())
        cannot = f"{fixed} of {self.mutable.numel()} features cannot change" if fixed else ""
        units = "ε counts in scales of each feature" if bool((self.scale != 1).any()) else ""
        return "; ".join(part for part in (units, cannot) if part)


@dataclass(frozen=True, slots=True)
class References:
    """What R models whose training sets are known say of the N examples that membership is judged on.

    The first ``members`` examples are the beginning of the target's members, the others that of its
    non-members, each in the order of :func:`attacks._sampling.fixed_sample`.
    """

    logits: NDArray[np.float32]
    """(R, N, queries, classes); the first query is the input as it is, the others are its augmentations."""
    inside: NDArray[np.bool_]
    """Whether an example was in a model's training set, (R, N): at random, for members and others alike."""
    members: int
    note: str = ""
    """What a reader of figures taken by them must know."""

    def __len__(self) -> int:
        return len(self.inside)

    def __getitem__(self, index: NDArray[np.intp]) -> "References":
        """Those examples alone, in that order."""
        members = int((index < self.members).sum())
        return replace(self, logits=self.logits[:, index], inside=self.inside[:, index], members=members)


@dataclass(frozen=True, slots=True)
class Held:
    """Another model of the same subject that a membership attacker holds, with references like it."""

    model: nn.Module
    references: Callable[[], References | None] = lambda: None


@dataclass(frozen=True, slots=True)
class Triggered:
    """Inputs with the trigger of a suspected backdoor."""

    x: Tensor
    """(N, …) float32 in the user's own units."""
    wanted: Tensor
    """The class that the attacker wants for each, (N,) int64; none is the input's own."""
    clean: Tensor | None = None
    """The same inputs without the trigger, where they are at hand."""


@dataclass(frozen=True, slots=True)
class Target:
    """One model under attack, with the data an attacker may use against it.

    The model maps inputs in ``bounds`` to logits (N, num_classes), normalisation inside. It is in eval mode
    and its parameters require no gradient; a probe leaves the model, its mode and the global random
    generators as it found them.
    """

    model: nn.Module
    num_classes: int
    bounds: tuple[float, float]
    test: Examples
    """Held-out examples: accuracy and evasion are measured on them."""
    members: Examples | None = None
    """Examples the model was trained on; None if unknown: membership is then not applicable."""
    nonmembers: Examples | None = None
    """Examples of the same distribution that the model never saw."""
    pool: Examples | None = None
    """The extraction attacker's own data, disjoint from ``test`` and from ``members``."""
    surrogate: Callable[[int], nn.Module] | None = None
    """Makes a fresh, untrained model (inputs → logits) from a seed: what an attacker would train."""
    others: Callable[[range], Mapping[str, Sequence[Mapping[str, Tensor]]]] | None = None
    """Reads what fools other models of the same audit, for a range of ``test``: name → perturbations of one
    model or of several, each as :func:`attacks.evasion.perturbations` made them."""
    adaptive: Callable[..., Any] | None = None
    """The user's own evasion attack (see :mod:`attacks.evasion._adaptive`)."""
    twin: Callable[[], nn.Module] | None = None
    """Reads the dense model of the same run, as ``model`` is (inputs → logits); None where there is none, or
    this is it."""
    trigger: Callable[[], Triggered] | None = None
    """Makes inputs with the trigger of a backdoor that the user suspects (see
    :mod:`attacks.tampering.trigger`)."""
    features: Features | None = None
    """Where features are not alike: their scales and bounds, and which cannot change; for evasion alone."""
    references: Callable[[], References | None] | None = None
    """Reads what reference models, made as the target was, say of members and non-members."""
    dense_references: Callable[[], References | None] | None = None
    """The same of references that were left dense: for an attacker who does not know the pruning recipe; None
    for a target that is dense itself, whose recipe there is none of."""
    held: Callable[[], Mapping[str, Held]] | None = None
    """Other models that were trained on the same members, by name: ``dense``, and other pruned versions; none
    for a dense target, which is held against its pruned versions as it is alone."""
    batch_size: int = 256
    block: int = 1024
    """Examples are gone through in blocks of so many, which never meet: see :class:`Cut`."""
    blocks: tuple[int, ...] = ()
    """The same for each stage of a probe that is done whole; none: ``block`` in all of them."""

    @property
    def device(self) -> torch.device:
        """Where the model lives; probes move batches there."""
        return next((p.device for p in self.model.parameters()), torch.device("cpu"))


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number with its interval, its n and its conditions; or a status that says why there is none.

    ``low`` and ``high`` bound a 95% interval around ``value``. ``outcomes`` holds the figures' per-example
    evidence (same order for every variant, so that variants can be compared in pairs):
    ``{"correct": bool[n]}`` for rates over test examples, ``{"score": f32[n], "member": bool[n]}`` for
    membership (higher score: more likely a member; the AUC's may have ``label`` and ``index``, the example's
    place among all members or non-members; a rate at few false positives has ``accused`` in place of the
    score), ``{"agree": bool[n]}`` for extraction fidelity.
    """

    metric: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    at: Mapping[str, str | int | float] = field(default_factory=dict)
    status: Status = "ok"
    note: str = ""
    outcomes: Mapping[str, NDArray[np.generic]] | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """What a probe says of itself; the report quotes it."""

    title: str
    summary: str
    """One plain sentence: what is measured."""
    threat_model: str
    """What the attacker knows, holds and may do."""
    limits: str
    """What the figures do not show."""
    metrics: tuple[str, ...]
    """Every metric name the probe may emit: a crash becomes one visible failed row for each."""
    papers: tuple[str, ...]
    ids: tuple[str, ...]
    """MITRE ATLAS, OWASP ML and NIST AI 100-2 identifiers."""


Part = Mapping[str, NDArray[np.generic]]
"""What a piece of a probe's work leaves: arrays whose last axis can be put end to end with those of its
neighbours, and text."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many examples of each kind an audit has."""

    test: int
    members: int = 0
    nonmembers: int = 0

    @classmethod
    def of(cls, target: Target) -> "Sizes":
        """Those of a target."""
        members, others = (0 if p is None else len(p) for p in (target.members, target.nonmembers))
        return cls(len(target.test), members, others)


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a probe's work that goes over examples, and can be done in pieces."""

    name: str
    """For people: what is being done."""
    examples: Callable[[Sizes, Any], int]
    """(sizes, settings) → examples to be gone through; 0 where they cannot be apart."""
    passes: Callable[[Any], float]
    """settings → forward and backward passes that one example takes, roughly."""
    piece: Callable[[Target, Any, torch.Generator, Part, range], Part]
    """(target, settings, generator, what earlier stages left of all examples, examples) → what it leaves,
    under names that no other stage has."""
    rare: bool = False
    """Whether it is only done where something is in doubt: no time is told for it beforehand."""


@dataclass(frozen=True, slots=True)
class Cut:
    """How a probe's work is cut into stages, each into pieces that can be done apart, and joined.

    A piece is a range of a stage's examples that begins at a multiple of ``Target.block``. Whatever the
    pieces, the join gives the same measurements, bit for bit. Pieces and ``join`` are each handed a generator
    in the same state.
    """

    stages: tuple[Stage, ...]
    join: Callable[[Target, Any, torch.Generator, Part], Sequence[Measurement]]
    """(target, settings, generator, what all stages left) → measurements; takes no time to speak of."""

    def whole(self, target: Target, settings: Any, generator: torch.Generator) -> Sequence[Measurement]:
        """Each stage in one piece."""
        state, sizes = generator.get_state(), Sizes.of(target)
        known: Part = {}
        for place, stage in enumerate(self.stages):
            examples = stage.examples(sizes, settings) or len(target.test)
            ours = replace(target, block=target.blocks[place] if target.blocks else target.block)
            known = {**known, **stage.piece(ours, settings, generator, known, range(examples))}
            generator.set_state(state)
        return self.join(target, settings, generator, known)


def merged(parts: Sequence[Part]) -> Part:
    """The parts of neighbouring ranges as that of all together; one with nothing in it is passed over.

    Of text the first counts; other arrays that some parts lack are dropped.
    """
    parts = [part for part in parts if part]
    names = dict.fromkeys(name for part in parts for name in part)
    found: dict[str, NDArray[np.generic]] = {}
    for name in names:
        held = [part[name] for part in parts if name in part]
        if held[0].dtype.kind == "U":
            found[name] = held[0]
        elif len(held) == len(parts):
            found[name] = np.concatenate(held, axis=-1)
    return found


@dataclass(frozen=True, slots=True)
class Probe:
    """One attack family: its name in plan and report, its card, its settings and its function."""

    name: str
    card: Card
    settings: type[BaseModel]
    run: Callable[[Target, Any, torch.Generator], Sequence[Measurement]]
    cut: Cut | None = None
    """How ``run`` is cut, where it can be."""


def unavailable(metrics: Sequence[str], status: Status, note: str) -> list[Measurement]:
    """One row per metric that says why it could not be measured."""
    return [Measurement(metric, status=status, note=note) for metric in metrics]
