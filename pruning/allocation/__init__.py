"""Allocation: how a budget is spent over the layers. One file each; the file's name is the allocation's name.

An allocation is a module with a one-line docstring, a ``SOURCE`` and a function ``keys(layers) -> keys``:
for each layer a vector that gives its scores places in one ranking over all layers. The lowest keys go first;
of equals each layer loses the same share, by index; the last element of a layer never goes. Where ``BY_RANK``
is set, a layer's keys are those of its lowest score, its second lowest and so on, and rise: so they need no
sorting. No key depends on how many are to go: a larger budget takes what a smaller one takes and more, and
masks nest as sparsity grows. (``threshold`` and ``matched`` fix the number too, see there.) The same ranking
serves single weights and whole units.
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
    by_rank: bool


def names() -> tuple[str, ...]:
    """The names of all allocations, sorted."""
    return tuple(sorted(module.name.rstrip("_") for module in pkgutil.iter_modules(__path__)))


@functools.cache
def allocation(name: str) -> Allocation:
    """One allocation."""
    files = {module.name.rstrip("_"): module.name for module in pkgutil.iter_modules(__path__)}
    module = importlib.import_module(f"{__name__}.{files[name]}")
    summary = (module.__doc__ or "").partition("\n")[0]
    sensitivity, by_rank = (getattr(module, flag, False) for flag in ("NEEDS_SENSITIVITY", "BY_RANK"))
    return Allocation(name, module.keys, summary, module.SOURCE, sensitivity, by_rank)


def allocations() -> dict[str, Allocation]:
    """All allocations by name."""
    return {name: allocation(name) for name in names()}


def masks(layers: Mapping[str, Layer], zeros: int, rule: str) -> dict[str, Tensor]:
    """Boolean vectors (True: kept), one a layer, that drop exactly ``zeros``: no layer loses its last."""
    chosen = allocation(rule)
    keys = chosen.keys(list(layers.values()))
    counts = (_lowest_of_rising if chosen.by_rank else _lowest)(keys, zeros)
    ranked = [layer.scores for layer in layers.values()] if chosen.by_rank else keys
    return {
        name: _without_lowest(key, count) for name, key, count in zip(layers, ranked, counts, strict=True)
    }


def order(layers: Mapping[str, Layer], rule: str) -> list[tuple[int, int]]:
    """The order in which units go: all (group, unit) pairs; the caller leaves one per layer.

    ``layers``: one per group, by the name of its root.
    """
    ranked: list[tuple[float, float, int, int]] = []
    chosen = allocation(rule)
    every = list(layers.values())
    for group, (layer, key) in enumerate(zip(every, chosen.keys(every), strict=True)):
        places = torch.sort(layer.scores if chosen.by_rank else key, stable=True).indices
        rising = key if chosen.by_rank else key[places]
        _, ties = torch.unique_consecutive(rising, return_counts=True)
        rows = (rising, _turns(ties), torch.full_like(places, group), places)
        ranked += zip(*(row.tolist() for row in rows), strict=True)
    ranked.sort()  # ties in turn, then in the order of groups and ranks
    return [(group, unit) for *_, group, unit in ranked]


def check_finite(layers: Mapping[str, Layer]) -> None:
    """Raises PruningError, which names the layer, if a score is not finite."""
    for name, layer in layers.items():
        if not finite(layer.scores):
            raise PruningError(
                f"{name}: its scores are not all finite; does the model, or the data, hold NaN or infinity?"
            )


def finite(values: Tensor) -> bool:
    """Whether all are. A sum that is shows it at a third of the cost; one that is not may have overflowed."""
    return bool(torch.isfinite(values.detach().sum())) or bool(torch.isfinite(values).all())


def ranks(scores: Tensor) -> Tensor:
    """The place of each score among them, 0 for the lowest, ties by index; float64, which later keys want."""
    places = torch.empty(len(scores), dtype=torch.float64, device=scores.device)
    places[torch.sort(scores, stable=True).indices] = torch.arange(
        len(scores), dtype=torch.float64, device=scores.device
    )
    return places


def kth(values: Tensor, k: int, *, spoil: bool = False) -> float:
    """The k-th smallest of (n,) values, k from 1. ``spoil``: their order may change, which saves a copy."""
    if values.is_cpu and values.dtype != torch.bfloat16:  # numpy's selection takes half of torch's time
        plain = values.detach().numpy()
        plain = plain if spoil else plain.copy()
        plain.partition(k - 1)
        return float(plain[k - 1])
    return float(values.kthvalue(k).values)


def _lowest(keys: Sequence[Tensor], zeros: int) -> list[int]:
    """How many of each layer are among the ``zeros`` lowest of all, each layer's best left out."""
    if zeros == 0:
        return [0] * len(keys)
    best = [int(key.argmax()) for key in keys]
    flat = torch.cat([key.detach() for key in keys])
    ends = np.cumsum([0, *map(len, keys)])
    flat[torch.from_numpy(ends[:-1] + best).to(flat.device)] = torch.inf
    threshold = kth(flat, zeros, spoil=True)
    # the best of a layer is above all others of it, or equals them
    counts = [
        int((key < threshold).sum()) - bool(key[i] < threshold) for key, i in zip(keys, best, strict=True)
    ]
    ties = [
        int((key == threshold).sum()) - bool(key[i] == threshold) for key, i in zip(keys, best, strict=True)
    ]
    return _with_ties(counts, ties, zeros - sum(counts))


def _lowest_of_rising(keys: Sequence[Tensor], zeros: int) -> list[int]:
    """The same for keys that rise within each layer, whose last is the best: the k-th lowest by bisection."""
    heads = [key[:-1].cpu().numpy() for key in keys]
    ends = [float(end) for head in heads if len(head) for end in (head[0], head[-1])]
    if zeros == 0 or not ends:
        return [0] * len(heads)
    low, high = np.nextafter(min(ends), -np.inf), max(ends)  # at most low: none; at most high: enough
    while low < (middle := low + (high - low) / 2) < high:
        if sum(int(np.searchsorted(head, middle, "right")) for head in heads) >= zeros:
            high = middle
        else:
            low = middle
    counts = [int(np.searchsorted(head, high, "left")) for head in heads]
    ties = [int(np.searchsorted(head, high, "right")) - n for head, n in zip(heads, counts, strict=True)]
    return _with_ties(counts, ties, zeros - sum(counts))


def _with_ties(counts: list[int], ties: Sequence[int], left: int) -> list[int]:
    """The counts and so many of the ties that each layer has: the same share of every layer's."""
    if left == sum(ties):
        return [count + number for count, number in zip(counts, ties, strict=True)]
    each = torch.tensor(ties)
    order = _turns(each).argsort(stable=True)
    owners = torch.arange(len(ties)).repeat_interleave(each)
    more = owners[order[:left]].bincount(minlength=len(ties))
    return [count + int(extra) for count, extra in zip(counts, more, strict=True)]


def _turns(ties: Tensor) -> Tensor:
    """When each of a layer's equals goes, between 0 and 1: spread evenly, so that layers lose equal shares.

    ``ties``: how many equals there are, layer by layer or value by value. The turns do not depend on how many
    go: masks nest.
    """
    of = ties.repeat_interleave(ties).double()
    first = (ties.cumsum(0) - ties).repeat_interleave(ties)
    return (torch.arange(len(of), dtype=torch.float64) - first + 0.5) / of


def _without_lowest(key: Tensor, count: int) -> Tensor:
    """True but for the ``count`` lowest; of equals those of lower index go first."""
    if count == 0:
        return torch.ones_like(key, dtype=torch.bool)
    threshold = kth(key, count)
    kept = key > threshold
    ties = torch.nonzero(key == threshold).flatten()
    kept[ties[count - int((key < threshold).sum()) :]] = True
    return kept
