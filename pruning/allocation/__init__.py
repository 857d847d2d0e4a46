"""Allocation: how a budget is spent over the layers. One file each; the file's name is the allocation's name.

An allocation is a module with a one-line docstring, a ``SOURCE`` and a function ``keys(layers) -> keys``:
for each layer a vector that gives its scores places in one ranking over all layers. The lowest keys go first,
ties by layer and index, and the last element of a layer never goes. No key depends on how many are to go: a
larger budget takes what a smaller one takes and more, and masks nest as sparsity grows. (``threshold`` and
``matched`` fix the number too, see there.) The same ranking serves single weights and whole units.
"""

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pruning.errors import PruningError


@dataclass(frozen=True, slots=True)
class Layer:
    """What a ranking may use of a layer, or of a group of units."""

    scores: Tensor
    """(n,): of each weight, or the worth of each unit; lowest first to go."""
    row: int = 1
    """How many of them are in one row of the weight; they stand row by row. 1 for units."""
    dims: float = 1.0
    """The sum of the sizes of the weight's dimensions; for units, as a share that makes n of its weights."""
    sensitivity: float = 0.0
    """How much the training loss rises when this layer alone is pruned hard (``pruning.sensitivity``)."""
    taken: int = 0
    """How many of them another recipe takes (``matched``)."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """An allocation: its name, its function, one line about it and where it comes from."""

    name: str
    keys: Callable[[Sequence[Layer]], list[Tensor]]
    summary: str
    source: str
    needs_sensitivity: bool


def names() -> tuple[str, ...]:
    """The names of all allocations, sorted."""
    return tuple(sorted(module.name.rstrip("_") for module in pkgutil.iter_modules(__path__)))


@functools.cache
def allocation(name: str) -> Allocation:
    """One allocation."""
    files = {module.name.rstrip("_"): module.name for module in pkgutil.iter_modules(__path__)}
    module = importlib.import_module(f"{__name__}.{files[name]}")
    summary = (module.__doc__ or "").partition("\n")[0]
    return Allocation(name, module.keys, summary, module.SOURCE, getattr(module, "NEEDS_SENSITIVITY", False))


def allocations() -> dict[str, Allocation]:
    """All allocations by name."""
    return {name: allocation(name) for name in names()}


def masks(layers: Mapping[str, Layer], zeros: int, rule: str) -> dict[str, Tensor]:
    """Boolean vectors (True: kept), one a layer, that drop exactly ``zeros``: no layer loses its last."""
    keys = allocation(rule).keys(list(layers.values()))
    counts = _lowest(keys, zeros)
    return {name: _without_lowest(key, count) for name, key, count in zip(layers, keys, counts, strict=True)}


def order(layers: Mapping[str, Layer], rule: str) -> list[tuple[int, int]]:
    """The order in which units go: all (group, unit) pairs; the caller leaves one per layer.

    ``layers``: one per group, by the name of its root.
    """
    ranked: list[tuple[float, int, int]] = []
    for group, key in enumerate(allocation(rule).keys(list(layers.values()))):
        places = torch.sort(key, stable=True)
        ranked += [
            (k, group, unit) for k, unit in zip(places.values.tolist(), places.indices.tolist(), strict=True)
        ]
    ranked.sort(key=lambda entry: entry[0])  # stable: ties keep the order of groups and ranks
    return [(group, unit) for _, group, unit in ranked]


def check_finite(layers: Mapping[str, Layer]) -> None:
    """Raises PruningError, which names the layer, if a score is not finite."""
    for name, layer in layers.items():
        if not torch.isfinite(layer.scores).all():
            raise PruningError(
                f"{name}: its scores are not all finite; does the model, or the data, hold NaN or infinity?"
            )


def ranks(scores: Tensor) -> Tensor:
    """The place of each score among them, 0 for the lowest, ties by index; float64, which later keys want."""
    places = torch.empty(len(scores), dtype=torch.float64, device=scores.device)
    places[torch.sort(scores, stable=True).indices] = torch.arange(
        len(scores), dtype=torch.float64, device=scores.device
    )
    return places


def kth(values: Tensor, k: int) -> float:
    """The k-th smallest of (n,) values, k from 1."""
    if values.is_cpu:  # numpy's selection takes half of torch's time
        plain = values.detach().numpy()
        return float(np.partition(plain, k - 1)[k - 1])
    return float(values.kthvalue(k).values)


def _lowest(keys: Sequence[Tensor], zeros: int) -> list[int]:
    """How many of each layer are among the ``zeros`` lowest of all, each layer's best left out."""
    if zeros == 0:
        return [0] * len(keys)
    flat = [key.clone() for key in keys]
    for layer in flat:
        layer[layer.argmax()] = torch.inf
    threshold = torch.kthvalue(torch.cat(flat), zeros).values
    counts = [int((layer < threshold).sum()) for layer in flat]
    left = zeros - sum(counts)
    for i, layer in enumerate(flat):
        ties = min(left, int((layer == threshold).sum())) if left else 0
        counts[i] += ties
        left -= ties
    return counts


def _without_lowest(key: Tensor, count: int) -> Tensor:
    """True but for the ``count`` lowest; of equals those of lower index go first."""
    if count == 0:
        return torch.ones_like(key, dtype=torch.bool)
    threshold = torch.kthvalue(key, count).values
    kept = key > threshold
    ties = torch.nonzero(key == threshold).flatten()
    kept[ties[count - int((key < threshold).sum()) :]] = True
    return kept
