"""What a plan may say about model extraction."""

import math
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from attacks._techniques import chosen, techniques
from attacks.extraction._attack import ExtractionAttack
from attacks.settings import ProbeSettings

PACKAGE = "attacks.extraction"

Level = Literal["quick", "standard", "thorough"]

LEVELS: dict[str, dict[str, Any]] = {
    "quick": {},
    "standard": {"adversarial": True},
    "thorough": {"adversarial": True, "replicates": 3, "also": ("label", "rounded", "noise", "smaller")},
}
"""By level, from low to high, what a plan that does not say otherwise gets beside the level's attacks."""

Answers = Literal["probabilities", "label", "rounded"]
Sent = Literal["pool", "noise"]
Surrogate = Literal["same", "pruned", "smaller"]
Change = Literal["label", "rounded", "noise", "pruned", "smaller"]


def attacks_of(level: str) -> tuple[str, ...]:
    """The attacks of that level and of those below it, from cheap to dear."""
    reach = list(LEVELS)[: list(LEVELS).index(level) + 1]
    known = techniques(PACKAGE, ExtractionAttack)
    return tuple(sorted((n for n, a in known.items() if a.level in reach), key=lambda n: (known[n].cost, n)))


class Settings(ProbeSettings):
    """How many queries the attacker may send, what it sees, and how it trains its copies."""

    level: Level = "standard"
    """How hard the attacker tries, where the other keys do not say: "quick" is ``knockoff`` alone; "standard"
    adds attackers who choose their queries, and looks at adversarial inputs; "thorough" adds the rest, three
    copies of each, and weaker interfaces and attackers."""

    attacks: tuple[str, ...] = ()
    """Attacks to run, by name (by default those of the level)."""

    queries: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(100, 500, 1000), min_length=1)
    """Query budgets. A copy of a smaller one is an earlier state of that of a larger one."""

    answers: Answers = "probabilities"
    """What the victim's interface shows: "probabilities"; "rounded" to ``decimals``; or the "label" alone."""

    decimals: int = Field(default=2, ge=1, le=6)
    """Of rounded answers."""

    sends: Sent = "pool"
    """What the attacker sends: held-out inputs of the same kind ("pool"), or "noise", uniform within the
    bounds. Attacks that make their own queries do so whatever is said here."""

    surrogate: Surrogate = "same"
    """What the attacker trains: the "same" architecture, dense; the "pruned" one, with the victim's own
    shapes and zeros; or a "smaller" one of our own."""

    also: tuple[Change, ...] = ()
    """Changes under which the first of the attacks runs once more, one at a time: "label", "rounded",
    "noise", "pruned", "smaller". Its name in the report is then such as "knockoff+label"."""

    replicates: int = Field(default=1, ge=1, le=100)
    """Copies of each kind, each with initial weights and shuffling of its own. With two or more, intervals
    hold the attacker's luck; with one they do not, and say so."""

    adversarial: bool = False
    """Whether copies are also judged on adversarial inputs: how often they follow the victim there, and how
    often what fools the copy fools the victim."""

    eps: float | None = Field(default=None, gt=0)
    """L∞ radius of those adversarial inputs, in input units; by default a tenth of the width of the
    bounds."""

    reach: float = Field(default=0.9, gt=0, lt=1)
    """The fidelity of which it is said how many queries it takes."""

    epochs: float = Field(default=3, gt=0)
    """Passes over the answers that a copy's training comes to by each budget; more for small budgets, see
    ``min_steps``."""

    min_steps: int = Field(default=150, ge=0)
    """Optimiser steps by the smallest budget at least, and a third as many for each further one, so that a
    small budget is not mistaken for too little training."""

    batch_size: int = Field(default=32, ge=1)
    """Examples per optimiser step."""

    learning_rate: float = Field(default=3e-3, gt=0)
    """Of Adam."""

    @model_validator(mode="before")
    @classmethod
    def _levelled(cls, given: Any) -> Any:
        """What the plan does not say, its level says."""
        if not isinstance(given, dict) or (level := given.get("level", "standard")) not in list(LEVELS):
            return given
        return {"attacks": attacks_of(level), **LEVELS[level], **given}

    @field_validator("queries", "also")
    @classmethod
    def _no_repeats(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) < len(values):
            raise ValueError(f"a value is given twice: {', '.join(map(str, values))}")
        return values

    @field_validator("attacks")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return chosen(names, PACKAGE, ExtractionAttack)

    def steps(self, examples: int, taken: int) -> int:
        """Optimiser steps to take with so many answers after ``taken``: up to ``min_steps``, or ``epochs``
        passes in all where that is more; but a third of ``min_steps`` at least, for what is new."""
        whole = max(self.min_steps, math.ceil(self.epochs * examples / self.batch_size))
        return max(whole - taken, -(-self.min_steps // 3), 1)

    def passes(self, examples: int) -> int:
        """Epochs over that many examples for a copy trained from scratch."""
        per_epoch = -(-examples // self.batch_size)
        return max(1, -(-self.steps(examples, 0) // per_epoch))

    def changed(self, change: str) -> "Settings":
        """The settings with one change of ``also``."""
        key = {"label": "answers", "rounded": "answers", "noise": "sends"}.get(change, "surrogate")
        return self.model_copy(update={key: change})

    def radius(self, bounds: tuple[float, float]) -> float:
        """The L∞ radius of adversarial inputs."""
        return (bounds[1] - bounds[0]) / 10 if self.eps is None else self.eps

    def problems(self, bounds: tuple[float, float]) -> list[str]:
        """A radius beyond the width of the bounds allows any input at all."""
        width = bounds[1] - bounds[0]
        if self.eps is None or self.eps <= width:
            return []
        return [f"eps: {self.eps:g} is larger than the width of the bounds; ε is in the units of the inputs"]
