"""How what is known of weights, or of what layers read, becomes the importance of the units of groups."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pruning import prunable
from pruning.coupling import UnitGroup
from pruning.errors import PruningError

Scores = Mapping[str, Tensor]
_BLOCK = 1 << 17
"""Scores that are made double precision at a time: they stay in the processor's cache."""


def owned(group: UnitGroup, scores: Scores, *, squared: bool) -> Tensor:
    """The sum over all filters that a unit owns, or the root of the summed squares; (units,) float64."""
    total = torch.zeros(group.size, dtype=torch.float64)
    for member in group.members:
        if member.direction == "out":
            rows = scores[prunable.weight_name(member.layer, scores)].detach().cpu().flatten(1)
            blocks = (block.double() for block in torch.split(rows, max(1, _BLOCK // rows.shape[1])))
            per_row = torch.cat([(block.square() if squared else block).sum(1) for block in blocks])
            total.index_add_(0, member.units, per_row[member.indices])
    return total.sqrt() if squared else total


def first(group: UnitGroup, scores: Scores) -> Tensor:
    """The first element of the first filter that makes a unit; (units,) float64."""
    rows = scores[prunable.weight_name(group.root, scores)].cpu().double().flatten(1)[:, 0]
    (root,) = (m for m in group.members if (m.layer, m.direction) == (group.root, "out"))
    firsts = torch.full((group.size,), len(rows))
    firsts.scatter_reduce_(0, root.units, root.indices, "amin")
    return rows[firsts]


def read(group: UnitGroup, scores: Scores) -> Tensor:
    """The mean over the layers that read a unit, of the mean over the columns by which they read it.

    ``scores``: one value a column, (1, columns). (units,) float64.
    """
    means, readers = torch.zeros(group.size, dtype=torch.float64), torch.zeros(group.size)
    for member in group.members:
        name = prunable.weight_name(member.layer, scores)
        if member.direction == "in" and name in scores:  # an excluded reader is not looked at
            columns = scores[name].cpu().double().flatten()[member.indices]
            count = torch.bincount(member.units, minlength=group.size)
            means += torch.zeros_like(means).index_add_(0, member.units, columns) / count.clamp(min=1)
            readers += count > 0  # behind a concatenation, a layer reads some of the units
    if not readers.all():
        raise PruningError(f"nothing is known of what reads the units of {group.root}: exclude fewer layers")
    return means / readers


def by_root(groups: Sequence[UnitGroup], scores: Scores) -> list[Tensor]:
    """Scores that are of units already, kept under the name of the root's weight."""
    return [scores[prunable.weight_name(group.root, scores)].cpu().double() for group in groups]
