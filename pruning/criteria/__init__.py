"""Criteria: what makes a weight matter. One file each; the file's name is the criterion's name.

A criterion is a module with a one-line docstring, a ``SOURCE`` and a function
``score(weights, context) -> scores``: for each prunable weight (by parameter name) a tensor of the same
shape, where the lowest scores go first. It scores all weights in one call, so that a criterion which needs
a pass over data makes one pass.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Context:
    """What a criterion may use besides the weights."""

    generator: torch.Generator
    """The only source of random numbers."""


Score = Callable[[Mapping[str, Tensor], Context], dict[str, Tensor]]


@dataclass(frozen=True, slots=True)
class Criterion:
    """A criterion: its name, its function, one line about it and where it comes from."""

    name: str
    score: Score
    summary: str
    source: str


def names() -> tuple[str, ...]:
    """The names of all criteria, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def criteria() -> dict[str, Criterion]:
    """All criteria by name."""
    found = {}
    for name in names():
        module = importlib.import_module(f"{__name__}.{name}")
        found[name] = Criterion(name, module.score, (module.__doc__ or "").partition("\n")[0], module.SOURCE)
    return found
