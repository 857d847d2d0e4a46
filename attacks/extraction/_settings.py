"""What a plan may say about model extraction."""

from typing import Annotated

from pydantic import Field, field_validator

from attacks._techniques import chosen, techniques
from attacks.extraction._attack import ExtractionAttack
from attacks.settings import ProbeSettings

PACKAGE = "attacks.extraction"


class Settings(ProbeSettings):
    """How many queries the attacker may send, and how it trains its surrogate."""

    attacks: tuple[str, ...] = Field(default_factory=lambda: tuple(techniques(PACKAGE, ExtractionAttack)))
    """Attacks to run, by name; all of them by default."""

    queries: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(100, 500, 1000), min_length=1)
    """Query budgets. A smaller one sends the beginning of a larger one's inputs."""

    epochs: int = Field(default=10, ge=1)
    """Passes over the answers when the surrogate is trained; more for small budgets, see ``min_steps``."""

    min_steps: int = Field(default=150, ge=0)
    """Optimiser steps at least, so that a small budget is not mistaken for too little training."""

    batch_size: int = Field(default=64, ge=1)
    """Examples per optimiser step."""

    learning_rate: float = Field(default=2e-3, gt=0)
    """Of Adam."""

    @field_validator("queries")
    @classmethod
    def _no_repeats(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(values)) < len(values):
            raise ValueError(f"a budget is given twice: {', '.join(map(str, values))}")
        return values

    @field_validator("attacks")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return chosen(names, PACKAGE, ExtractionAttack)

    def passes(self, examples: int) -> int:
        """Epochs over that many examples: ``epochs``, or what ``min_steps`` takes."""
        steps = -(-examples // self.batch_size)
        return max(self.epochs, -(-self.min_steps // steps))
