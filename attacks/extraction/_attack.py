"""What an extraction attack is given, and what it says of itself."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor, nn

if TYPE_CHECKING:
    from attacks.extraction._settings import Settings


@dataclass(frozen=True, slots=True)
class Theft:
    """One attacker at work on one victim, of whom it sees nothing but answers."""

    ask: Callable[[Tensor], Tensor]
    """Inputs (N, …) → one probability vector each, (N, classes), in float32. Every input is one query, asked
    before or not; one beyond the budget that is open raises OverBudgetError."""
    pool: Tensor
    """Unlabelled inputs of the attacker's own, (M, …), in the order in which a plain attacker sends them."""
    kinds: Tensor | None
    """The attacker's own labels of its inputs, (M,) int64, on the CPU; None where it has none."""
    budgets: tuple[int, ...]
    """Queries that may have been sent in all by the first, the second, … copy that is handed over; rising."""
    fresh: Callable[[], nn.Module]
    """Makes a new untrained surrogate (inputs → logits); the same one each time."""
    num_classes: int
    bounds: tuple[float, float]
    """Smallest and largest value of an input that the victim takes."""
    seed: int
    """Of all that is drawn at random."""


@dataclass(frozen=True, slots=True)
class ExtractionAttack:
    """One technique: its module's name is its name in plan and report."""

    run: Callable[[Theft, "Settings"], Iterator[nn.Module]]
    """(theft, settings) → one trained surrogate for each budget, from small to large, each handed over before
    the next budget opens."""
    paper: str
    level: Literal["quick", "standard", "thorough"] | None = None
    """The lowest level of a plan that runs it; None: only plans that name it do."""
    cost: int = 0
    """Its place in the order of running: optimiser steps beside those of ``knockoff``, roughly."""
    sees: Literal["probabilities", "labels"] = "probabilities"
    """What it uses of an answer."""
    sends: Literal["pool", "made"] = "pool"
    """Whether queries come from the attacker's pool, so that a budget beyond it is refused; or are made."""


class OverBudgetError(RuntimeError):
    """An attack asked for more than its budget."""
