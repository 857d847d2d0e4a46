"""What attacks did to a model, as values: a curve for each attack, and all of them together."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from attacks.evasion._examples import Broken
from attacks.evasion._inference import Trial


@dataclass(frozen=True, slots=True)
class Curve:
    """What one attack did in one norm."""

    broken: Tensor
    """(len(grid), n) bool over all test examples; natural errors are broken."""
    after: tuple[str, ...] = ()
    """The attacks before it whose finds count as its own, where it was run on their survivors only."""
    distance: Tensor | None = None
    """To each closest adversarial example found, (n,) float64, infinite where none was; 0 for natural errors.
    None if the attack does not look for it, or only looked at survivors."""
    note: str = ""
    """What else its rows say."""
    inferred: Tensor | None = None
    """(len(grid), n) bool: what stands since the attack failed at a larger ε. None: every ε was attacked."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """What all attacks did in one norm. n test examples."""

    norm: str
    grid: Tensor
    """ε, rising, float64."""
    right: Tensor
    """Which examples the model gets right unattacked, (n,) bool: those are attacked."""
    dead: Tensor
    """Which of all examples have an input gradient of zero, (n,) bool."""
    draws: int
    """Passes that decide whether a candidate fools the model: more than one where its outputs are random."""
    widest: float
    """The distance of two opposite corners of the bounds."""
    curves: dict[str, Curve]
    """By attack, in the order in which they ran: from cheap to dear."""
    worst: Tensor
    """(len(grid), n) bool: broken by any attack, at this ε or a smaller one."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Attacks that could not be run, and why."""
    measuring: frozenset[str] = frozenset()
    """The attacks of the plan that measure distances, those that failed among them."""
    trial: Trial | None = None
    """What became of a sample of what stood by inference; None where nothing did."""
    untried: str = ""
    """Why that sample could not be tried."""
    examples: Broken | None = None
    """A few of the broken ones, to be looked at."""
    unshown: str = ""
    """Why those could not be had."""
    replays: Mapping[str, Tensor] = field(default_factory=dict)
    """By source, what its perturbations break, (len(grid), n) bool."""

    @property
    def inferred(self) -> Tensor:
        """What some attack leaves standing by inference alone and nothing broke, (len(grid), n) bool."""
        found = torch.zeros_like(self.worst)
        for curve in self.curves.values():
            found |= False if curve.inferred is None else curve.inferred
        return found & ~self.worst


def among_all(values: Tensor, right: Tensor, natural_error: float) -> Tensor:
    """Values of the examples that the model gets right, (…, right), put back among all, (…, n)."""
    placed = torch.full(
        (*values.shape[:-1], len(right)), natural_error, dtype=values.dtype, device=right.device
    )
    placed[..., right] = values
    return placed
