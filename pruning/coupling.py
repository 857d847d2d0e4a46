"""Groups of units: filters and neurons that can be removed, and all that goes with them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from pruning import prunable, tracing
from pruning.errors import PruningError
from pruning.removal import Gone, Removal, named


@dataclass(frozen=True, slots=True)
class Member:
    """What a group's units mean in one prunable layer: unit ``units[i]`` owns channel ``indices[i]``.

    ``out``: rows of the weight (and the bias); ``in``: the columns that read the units.
    """

    layer: str
    direction: Literal["out", "in"]
    indices: Tensor
    units: Tensor
    shape: tuple[int, int]
    """Rows and columns of the layer's weight; of norms and depthwise convolutions only rows."""


@dataclass(frozen=True, slots=True)
class UnitGroup:
    """Units over the same layers, such as all filters of the layers on one residual stream.

    A unit is the least that can go: one channel of the root as a rule, several where they are tied, as those
    are that a gated linear unit multiplies.
    """

    root: str
    """The layer by whose output channels the units are numbered."""
    size: int
    """How many units."""
    members: tuple[Member, ...]
    norms: tuple[Member, ...] = ()
    """Batch norms and PReLUs whose entries go too; not counted."""


def find(model: nn.Module, example_input: Tensor, excluded: Collection[str] = ()) -> list[UnitGroup]:
    """All groups of removable units, in the model's order; never those of the output layer.

    ``example_input``: (N, …); ``excluded``: layers that keep their width. Raises PruningError if parameters
    are tied, if the model cannot run the example, or if it has no removable unit.
    """
    prunable.refuse_tied(model)
    known = tracing.channels(model, example_input)
    layers = prunable.counts(model)
    places = _number({name: known.out[name].tolist() for name in layers if name in known.out})
    order = list(dict.fromkeys(root for root, _ in places.values()))
    number, group = np.full((2, known.units + 1), -1)  # the last place is that of −1
    position = {root: i for i, root in enumerate(order)}
    for unit, (root, place) in places.items():
        number[unit], group[unit] = place, position[root]
    members: list[list[Member]] = [[] for _ in order]
    norms: list[list[Member]] = [[] for _ in order]
    sides: tuple[tuple[Literal["out", "in"], Mapping[str, tracing.Units]], ...] = (
        ("out", known.out),
        ("in", known.into),
    )
    for direction, side in sides:
        for name, found in side.items():
            shape = len(known.out[name]), len(known.into.get(name, ()))
            kind, of = members if name in layers else norms, group[found]
            for i in set(of.tolist()) - {-1}:
                indices = np.flatnonzero(of == i)
                own = torch.from_numpy(number[found[indices]])
                kind[i].append(Member(name, direction, torch.from_numpy(indices), own, shape))
    sizes = np.bincount(group[group >= 0], minlength=len(order)).tolist()
    every = [
        UnitGroup(root, size, tuple(counted), tuple(others))
        for root, size, counted, others in zip(order, sizes, members, norms, strict=True)
    ]
    groups = spare(every, excluded)
    if not any(group.size > 1 for group in groups):
        raise PruningError(
            f"{type(model).__name__} has no filter or neuron that can be removed from {named(list(layers))} "
            "(the output layer keeps its width, every layer at least one unit, and channels stay that cannot "
            "be taken out exactly): use granularity 'weight'"
        )
    return groups


def _number(out: Mapping[str, Sequence[int]]) -> dict[int, tuple[str, int]]:
    """Unit of a trace → the first layer that makes it, and its number among that layer's."""
    places: dict[int, tuple[str, int]] = {}
    for name, units in out.items():
        fresh = [unit for unit in dict.fromkeys(units) if unit >= 0 and unit not in places]
        places |= {unit: (name, place) for place, unit in enumerate(fresh)}
    return places


def spare(groups: Sequence[UnitGroup], excluded: Collection[str]) -> list[UnitGroup]:
    """The groups that take nothing from the width of excluded layers."""
    return [
        group
        for group in groups
        if not any(member.direction == "out" and member.layer in excluded for member in group.members)
    ]


def marks(groups: Sequence[UnitGroup], chosen: Sequence[Sequence[int]]) -> Gone:
    """What goes with these units of each group, layer by layer."""
    gone: dict[str, tuple[Tensor, Tensor]] = {}
    for group, units in zip(groups, chosen, strict=True):
        going = torch.zeros(group.size, dtype=torch.bool)
        going[list(units)] = True
        for member in (*group.members, *group.norms) if units else ():
            if member.layer not in gone:
                rows, columns = (torch.zeros(side, dtype=torch.bool) for side in member.shape)
                gone[member.layer] = rows, columns
            gone[member.layer][member.direction == "in"][member.indices[going[member.units]]] = True
    return gone


def history(groups: Sequence[UnitGroup], chosen: Sequence[Sequence[int]]) -> tuple[Removal, ...]:
    """Group by group, channels numbered as the steps before have left them."""
    steps = []
    before: dict[str, Tensor] = {}
    for group, units in zip(groups, chosen, strict=True):
        if not units:
            continue
        going = marks([group], [units])
        rows = going[group.root][0]
        earlier = before.get(group.root, torch.zeros_like(rows))
        numbers = torch.cumsum(~earlier, 0) - 1
        steps.append(Removal(layer=group.root, direction="out", indices=tuple(numbers[rows].tolist())))
        for name, (out, _) in going.items():
            before[name] = before[name] | out if name in before else out
    return tuple(steps)
