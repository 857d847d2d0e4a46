"""Allocation: how a budget is spent over the layers. No layer is ever emptied.

For single weights an allocation says how many go in each layer; within a layer the lowest scores go, ties in
the order of their index. For units it says in which order they go. Either way a larger budget takes what a
smaller one takes and more: masks nest as sparsity grows.
"""

import heapq
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor

from pruning.errors import PruningError, at_most

Allocation = Literal["global", "uniform"]


def masks(scores: Mapping[str, Tensor], sparsity: float, allocation: Allocation) -> dict[str, Tensor]:
    """Boolean masks (True: kept) that drop exactly ``round(sparsity × number of weights)`` weights.

    ``scores``: one tensor per weight, lowest first to go. Raises PruningError if a score is not finite, or if
    so many weights are to go that a layer would be empty.
    """
    for name, score in scores.items():
        if not torch.isfinite(score).all():
            raise PruningError(f"{name}: its scores are not all finite; does the model hold NaN or infinity?")
    total = sum(score.numel() for score in scores.values())
    zeros = round(sparsity * total)
    if zeros > total - len(scores):
        smallest = min(scores, key=lambda name: scores[name].numel())
        raise PruningError(
            f"sparsity {sparsity:g} means {zeros} of {total} weights gone, but each of the {len(scores)} "
            f"layers keeps at least one (the smallest is {smallest} with {scores[smallest].numel()}): "
            f"at most {total - len(scores)} can go, sparsity {at_most(1 - len(scores) / total)}"
        )
    counts = {"global": _global, "uniform": _uniform}[allocation](scores, zeros)
    return {name: _without_lowest(score, counts[name]) for name, score in scores.items()}


def order(scores: Sequence[Tensor], allocation: Allocation) -> list[tuple[int, int]]:
    """The order in which units go: all (group, unit) pairs, lowest first; the caller leaves one per layer.

    ``scores``: one vector per group of units. ``global`` goes by score over all groups; ``uniform`` takes the
    same share of each group, as evenly as whole units allow. Ties go by group and index.
    """
    ranked: list[tuple[float | Fraction, int, int]] = []
    for group, score in enumerate(scores):
        if not torch.isfinite(score).all():
            raise PruningError("the scores of units are not all finite; does the model hold NaN or infinity?")
        units = torch.sort(score, stable=True).indices.tolist()
        keys = score.tolist()
        ranked += [
            (keys[unit] if allocation == "global" else _turn(rank, len(keys)), group, unit)
            for rank, unit in enumerate(units)
        ]
    ranked.sort(key=lambda entry: entry[0])  # stable: ties keep the order of groups and ranks
    return [(group, unit) for _, group, unit in ranked]


def _global(scores: Mapping[str, Tensor], zeros: int) -> dict[str, int]:
    """How many weights of each layer are among the ``zeros`` lowest of all, each layer's best left out."""
    if zeros == 0:
        return dict.fromkeys(scores, 0)
    flat = [score.flatten().clone() for score in scores.values()]
    for layer in flat:
        layer[layer.argmax()] = torch.inf
    threshold = torch.kthvalue(torch.cat(flat), zeros).values
    counts = {name: int((layer < threshold).sum()) for name, layer in zip(scores, flat, strict=True)}
    left = zeros - sum(counts.values())
    for name, layer in zip(scores, flat, strict=True):
        ties = min(left, int((layer == threshold).sum()))
        counts[name] += ties
        left -= ties
    return counts


def _uniform(scores: Mapping[str, Tensor], zeros: int) -> dict[str, int]:
    """Every layer of n weights gives up round(t·n), with the one t at which the total is exact.

    That is Webster's method of apportionment: layers of usual size are within one of their fair share, and,
    unlike with largest remainders, no layer's count falls as the total grows, so masks nest. Ties
    go to the earlier layer.
    """
    sizes = {name: score.numel() for name, score in scores.items()}

    def taken(t: int) -> dict[str, int]:  # t in units of 2**-48
        return {name: min(n - 1, (2 * t * n + 2**48) >> 49) for name, n in sizes.items()}

    low, high = 0, 2**49
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if sum(taken(middle).values()) <= zeros else (low, middle)
    counts = taken(low)
    queue = [(_turn(counts[name], n), i, name) for i, (name, n) in enumerate(sizes.items())]
    queue = [entry for entry in queue if counts[entry[2]] < sizes[entry[2]] - 1]
    heapq.heapify(queue)
    for _ in range(zeros - sum(counts.values())):
        _, i, name = queue[0]
        counts[name] += 1
        if counts[name] < sizes[name] - 1:
            heapq.heapreplace(queue, (_turn(counts[name], sizes[name]), i, name))
        else:
            heapq.heappop(queue)
    return counts


def _turn(rank: int, size: int) -> Fraction:
    """The turn of the next weight of a layer that has given ``rank`` of ``size``: share (rank + ½) / size."""
    return Fraction(2 * rank + 1, 2 * size)


def _without_lowest(score: Tensor, count: int) -> Tensor:
    """True but for the ``count`` lowest scores; of equal scores those of lower index go first."""
    flat = score.flatten()
    if count == 0:
        return torch.ones_like(score, dtype=torch.bool)
    threshold = torch.kthvalue(flat, count).values
    kept = flat > threshold
    ties = torch.nonzero(flat == threshold).flatten()
    kept[ties[count - int((flat < threshold).sum()) :]] = True
    return kept.reshape(score.shape)
