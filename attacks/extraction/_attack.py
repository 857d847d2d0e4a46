"""What an extraction attack is given, and what it says of itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

if TYPE_CHECKING:
    from attacks.extraction._settings import Settings

Query = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""The victim as its interface shows it: inputs (N, …) → probabilities (N, classes)."""


@dataclass(frozen=True, slots=True)
class Theft:
    """One surrogate to be trained on one budget of queries."""

    query: Query
    x: NDArray[np.float32]
    """The inputs the attacker may send, one query each, (queries, …)."""
    surrogate: nn.Module
    """A fresh model (inputs → logits), trained in place."""
    num_classes: int
    device: torch.device
    seed: int
    """Of all that is drawn at random."""


@dataclass(frozen=True, slots=True)
class ExtractionAttack:
    """One technique: its module's name is its name in plan and report."""

    run: Callable[[Theft, "Settings"], None]
    """Train ``theft.surrogate`` on the victim's answers to ``theft.x``."""
    paper: str
