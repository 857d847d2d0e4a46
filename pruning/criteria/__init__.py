"""Criteria: what makes a weight, or a unit, matter. One file each; the file's name is the criterion's name.

A criterion is a module with a one-line docstring, a ``SOURCE``, ``NEEDS`` (what it looks at) and a function
``score(weights, context) -> scores``: for each prunable weight (by parameter name) a tensor of the same
shape, where the lowest scores go first. It scores all weights in one call, so that a criterion which needs
a pass over data makes one pass. What units matter follows from their weights' scores, by ``NORM``; or the
module has a function ``importance(groups, scores)`` that says it. ``UNITS_ONLY``: there is none of it for
single weights; ``BY_GRANULARITY``: their scores differ from those for units.

Other packages offer criteria by entry points of the group ``prune_audit.criteria``, each naming such a
module.
"""

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pruning.coupling import UnitGroup
from pruning.errors import PruningError
from pruning.sample import Sample

GROUP = "prune_audit.criteria"
"""Entry-point group: each entry names a module that is a criterion."""


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
Importance = Callable[[Sequence[UnitGroup], Mapping[str, Tensor]], list[Tensor]]
"""(groups, scores by weight name) → per group how much each unit matters, (units,) float64."""
Norm = Literal["l1", "l2"]


@dataclass(frozen=True, slots=True)
class Criterion:
    """A criterion: its name, its function, one line about it and where it comes from."""

    name: str
    score: Score
    summary: str
    source: str
    needs: Needs
    """``weights`` alone; the ``model`` they are in; or training ``data`` run through it."""
    norm: Norm | None
    """How much a unit matters, unless a recipe says otherwise: the sum over its elements (``l1``) or the root
    of their summed squares (``l2``). None where ``importance`` says it."""
    importance: Importance | None
    units_only: bool
    """Whether there is none of it for single weights."""
    by_granularity: bool
    """Whether scores for single weights and for units differ."""


def names() -> tuple[str, ...]:
    """The names of all criteria, sorted. Raises PruningError for another package's that cannot be used."""
    return tuple(sorted((*_own(), *_offered())))


@functools.cache
def criterion(name: str) -> Criterion:
    """One criterion."""
    module = importlib.import_module(f"{__name__}.{name}") if name in _own() else _offered()[name]
    importance: Importance | None = getattr(module, "importance", None)
    return Criterion(
        name,
        module.score,
        (module.__doc__ or "").partition("\n")[0],
        module.SOURCE,
        module.NEEDS,
        getattr(module, "NORM", "l1") if importance is None else None,
        importance,
        getattr(module, "UNITS_ONLY", False),
        getattr(module, "BY_GRANULARITY", False),
    )


def plugins() -> dict[str, Path | None]:
    """Every criterion of another package, and the file that holds its code."""
    found = {f"criterion {name!r}": getattr(module, "__file__", None) for name, module in _offered().items()}
    return {label: Path(file) if file else None for label, file in found.items()}


def _own() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")]


def _offered() -> dict[str, Any]:
    """What other packages offer, by name. Raises PruningError that names the entry point."""
    found: dict[str, Any] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        label = f"criterion {entry.name!r} ({entry.value})"
        try:
            module = entry.load()
        except Exception as error:  # a foreign module can raise anything
            raise PruningError(f"{label} cannot be loaded: {type(error).__name__}: {error}") from error
        lacking = [key for key in ("__doc__", "SOURCE", "NEEDS", "score") if not getattr(module, key, None)]
        if not isinstance(module, ModuleType) or lacking:
            raise PruningError(f"{label} must be a module with a docstring, SOURCE, NEEDS and score")
        if module.NEEDS not in ("weights", "model", "data"):
            raise PruningError(f"{label}: NEEDS must be 'weights', 'model' or 'data', not {module.NEEDS!r}")
        if entry.name in _own() or entry.name in found or not entry.name.isidentifier():
            raise PruningError(f"{label}: its name is in use, or not one word")
        found[entry.name] = module
    return found


def criteria() -> dict[str, Criterion]:
    """All criteria by name."""
    return {name: criterion(name) for name in names()}
