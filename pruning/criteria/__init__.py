"""Criteria: what makes a weight matter. One file each; the file's name is the criterion's name.

A criterion is a module with a one-line docstring, a ``SOURCE``, and a function
``score(weights, context) -> scores``: for each prunable weight (by parameter name) a tensor of the same
shape, where the lowest scores go first. It scores all weights in one call, so that a criterion which needs
a pass over data makes one pass. ``NEEDS`` says what it looks at, ``UNIT`` what a whole unit is worth.
"""

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from pruning.sample import Sample


@dataclass(frozen=True, slots=True)
class Context:
    """What a criterion may use besides the weights."""

    generator: torch.Generator
    """The only source of random numbers."""
    model: nn.Module
    """Where a criterion needs more than weights: a copy of its own, in eval mode, which holds the weights as
    parameters that require a gradient. It may be changed."""
    example_input: Tensor
    """(N, …) in the model's own units."""
    sample: Sample | None = None
    """Training data; there is some for a criterion that needs data."""
    granularity: Literal["weight", "unit"] = "weight"


Score = Callable[[Mapping[str, Tensor], Context], dict[str, Tensor]]
Needs = Literal["weights", "model", "data"]
Unit = Literal["l1", "l2", "first", "readers"]


@dataclass(frozen=True, slots=True)
class Criterion:
    """A criterion: its name, its function, one line about it and where it comes from."""

    name: str
    score: Score
    summary: str
    source: str
    needs: Needs
    """``weights`` alone; the ``model`` they are in; or training ``data`` run through it."""
    unit: Unit
    """What a unit is worth: the sum over its elements (``l1``) or the root of their summed squares (``l2``),
    as the recipe's norm has it; its ``first`` element, for chance; or, where ``score`` gives one value per
    input channel, shape (1, channels), the mean of what its ``readers`` receive from it."""
    by_granularity: bool
    """Whether scores for single weights and for units differ."""


def names() -> tuple[str, ...]:
    """The names of all criteria, sorted."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")))


@functools.cache
def criterion(name: str) -> Criterion:
    """One criterion."""
    module = importlib.import_module(f"{__name__}.{name}")
    return Criterion(
        name,
        module.score,
        (module.__doc__ or "").partition("\n")[0],
        module.SOURCE,
        module.NEEDS,
        getattr(module, "UNIT", "l1"),
        getattr(module, "BY_GRANULARITY", False),
    )


def criteria() -> dict[str, Criterion]:
    """All criteria by name."""
    return {name: criterion(name) for name in names()}
