"""What an evasion attack is given, and what it says of itself."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

from attacks.evasion._balls import Ball, Bounds

if TYPE_CHECKING:
    from attacks.evasion._settings import Settings


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples that the model gets right, each with its own radius. N examples on the model's device."""

    model: nn.Module
    ball: Ball
    bounds: Bounds
    x: Tensor
    """Clean inputs (N, …)."""
    y: Tensor
    """Labels (N,)."""
    gradient: Tensor
    """Input gradient of the loss at the clean inputs, (N, …): the first step of every attack, taken once."""
    margin: Tensor
    """The label's logit minus the best other, at the clean inputs, (N,)."""
    seeds: Tensor
    """One random seed per example and restart, (N, restarts) int64."""
    eps: Tensor
    """Radius of each example's ball, (N,)."""

    def __len__(self) -> int:
        return len(self.y)

    def at(self, index: Tensor, eps: Tensor) -> "Batch":
        """Those examples, with these radii."""
        return replace(
            self,
            x=self.x[index],
            y=self.y[index],
            gradient=self.gradient[index],
            margin=self.margin[index],
            seeds=self.seeds[index],
            eps=eps.to(self.x),
        )


@dataclass(frozen=True, slots=True)
class EvasionAttack:
    """One technique: its module's name is its name in plan and report."""

    run: Callable[[Batch, "Settings"], Tensor]
    """(batch, settings) → one candidate per example, inside its ball and the bounds. A candidate need not
    fool the model: the sweep checks each one afresh."""
    search: Literal["each", "smallest"]
    """How a curve over ε is taken. "each": attack every ε on its own, and report it plainly. "smallest":
    look for the smallest ε that breaks an example; larger ones then break it too."""
    paper: str
