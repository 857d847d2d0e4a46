"""What an evasion attack is given, and what it says of itself."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor, nn

from attacks.evasion._balls import Ball
from attacks.evasion._effort import Effort
from attacks.evasion._losses import margin
from attacks.evasion._passes import picked


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples that the model gets right, each with its own radius. N examples on the model's device."""

    model: nn.Module
    ball: Ball
    bounds: tuple[float, float]
    """Of any feature."""
    x: Tensor
    """Clean inputs (N, …)."""
    y: Tensor
    """Labels (N,)."""
    logits: Tensor
    """At the clean inputs, (N, C)."""
    gradient: Tensor
    """Input gradient of the log-odds of being wrong (``_losses.odds``) at the clean inputs, (N, …): the first
    step of every gradient attack, taken once."""
    seeds: Tensor
    """One random seed per example and restart, (N, restarts) int64."""
    eps: Tensor
    """Radius of each example's ball, (N,)."""
    draws: int = 1
    """Fresh passes that decide whether a candidate fools the model: more than one where its outputs are
    random."""

    def __len__(self) -> int:
        return len(self.y)

    @property
    def margin(self) -> Tensor:
        """The label's logit minus the best other, at the clean inputs, (N,)."""
        return margin(self.logits, self.y)

    def at(self, index: Tensor, eps: Tensor) -> "Batch":
        """Those examples, with these radii."""
        return replace(
            self,
            x=picked(self.x, index),
            y=self.y[index],
            logits=self.logits[index],
            gradient=picked(self.gradient, index),
            seeds=self.seeds[index],
            eps=eps.to(self.x),
        )


class AttackFailedError(RuntimeError):
    """One attack cannot be run on this model; the others go on. The message says why."""


def reason(error: Exception) -> str:
    """Why an attack could not be run, for its failed rows."""
    if isinstance(error, AttackFailedError):
        return str(error)
    return f"{type(error).__name__}: {str(error).strip() or 'no message'}"


@dataclass(frozen=True, slots=True)
class EvasionAttack:
    """One technique: its module's name is its name in plan and report."""

    run: Callable[[Batch, Effort], Tensor]
    """(batch, effort) → one candidate per example, inside its ball and the bounds. A candidate need not
    fool the model: the sweep checks each one afresh."""
    search: Literal["each", "smallest", "distance"]
    """How a curve over ε is taken. "each": attack every ε on its own, and report it plainly. "smallest":
    look for the smallest ε that breaks an example; larger ones then break it too. "distance": the attack
    itself looks for the closest adversarial example, is run once with the widest ball that the bounds
    allow, and its distances are the curve."""
    paper: str
    level: Literal["quick", "standard", "thorough"] | None = None
    """The lowest level of a plan that runs it; None: only plans that name it do."""
    cost: int = 0
    """Forward and backward passes an example, roughly: attacks run from cheap to dear, ties by name."""
    on: Literal["all", "survivors"] = "all"
    """"all": every example that the model gets right is attacked, and the attack's row stands for itself.
    "survivors": only what the attacks before it left standing; its row then counts as broken what any of
    them broke, and says so."""
    norms: tuple[str, ...] = ("linf", "l2")
    """The norms it can be held to; at others it is not run."""
    sees: Literal["gradients", "scores", "labels", "others", "anything"] = "gradients"
    """What the attacker uses of the model: its gradients, its outputs, its decisions, only what fooled other
    models, or whatever the user's own attack uses. If one that sees less breaks what gradients do not, the
    gradients mislead."""
    steps: str = ""
    """The setting that says how many steps or queries it takes, if one does."""
    rounds: str = ""
    """The setting that says how often it takes them, if one does."""
    together: bool = False
    """Whether it is given all examples of a block at once, whatever the batch size, since what it does to one
    may depend on the others."""

    def passes(self, effort: Effort) -> float:
        """Forward and backward passes of an example at one ε under these settings, roughly."""
        if self.sees in ("scores", "labels") and self.steps:
            return float(getattr(effort, self.steps)) / 3  # queries are forward passes alone
        usual = type(effort).model_fields
        times = [getattr(effort, key) / usual[key].default for key in (self.steps, self.rounds) if key]
        return float(self.cost * math.prod(times) * effort.restarts)

    def longer(self, effort: Effort, times: int) -> Effort:
        """The effort under which it takes ``times`` as many steps; as it is if it takes none."""
        if not self.steps:
            return effort
        return effort.model_copy(update={self.steps: times * getattr(effort, self.steps)})
