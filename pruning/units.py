"""Units: filters and neurons that go together, what each is worth, and which go for a wanted sparsity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from pruning import allocation, prunable, tracing
from pruning.errors import PruningError, at_most
from pruning.removal import Removal


@dataclass(frozen=True, slots=True)
class Member:
    """What a group's units mean in one prunable layer: unit ``units[i]`` owns channel ``indices[i]``.

    ``out``: rows of the weight (and the bias); ``in``: the columns that read the units.
    """

    layer: str
    direction: Literal["out", "in"]
    indices: Tensor
    units: Tensor


@dataclass(frozen=True, slots=True)
class UnitGroup:
    """Units over the same layers, such as all filters of the layers on one residual stream."""

    root: str
    """The layer by whose output channels the units are numbered."""
    size: int
    """How many units."""
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which units go, and what that comes to."""

    history: tuple[Removal, ...]
    remaining: int
    """Prunable weights left."""
    step: int
    """Prunable weights of the last unit weighed: the result is within half of it of the request."""


def find(model: nn.Module, example_input: Tensor) -> list[UnitGroup]:
    """All groups of removable units, in the model's order; never those of the output layer.

    ``example_input``: (N, …). Raises PruningError if parameters are tied, if the model cannot run the
    example, or if it has no removable unit.
    """
    prunable.refuse_tied(model)
    names = {module: name for name, module in prunable.layers(model).items()}
    graph = tracing.dependency_graph(model, example_input)
    groups = []
    for found in graph.get_all_groups(root_module_types=list(prunable.LAYERS)):
        root = found[0].dep.target.module
        if root not in names or not tracing.removable(found):
            continue
        members = []
        for item in found.items:
            module, handler = item.dep.target.module, item.dep.handler
            if module in names:
                out = graph.is_out_channel_pruning_fn(handler)  # depthwise: the same function for both
                indices, owners = torch.tensor(item.idxs), torch.tensor(item.root_idxs)
                members.append(Member(names[module], "out" if out else "in", indices, owners))
        groups.append(UnitGroup(names[root], len(found[0].idxs), tuple(members)))
    if not any(group.size > 1 for group in groups):
        raise PruningError(
            f"{type(model).__name__} has no filter or neuron that can be removed (the output layer keeps its "
            "width, every layer at least one unit): use granularity 'weight'"
        )
    place = {name: i for i, name in enumerate(names.values())}
    return sorted(groups, key=lambda group: place[group.root])


def worth(
    groups: Sequence[UnitGroup], scores: Mapping[str, Tensor], norm: Literal["l1", "l2"]
) -> list[Tensor]:
    """Per group a float64 vector: what each unit is worth, from the element scores of the filters it owns.

    ``l1``: their sum; ``l2``: the root of the sum of their squares. Coupled filters count together.
    """
    worths = []
    for group in groups:
        total = torch.zeros(group.size, dtype=torch.float64)
        for member in group.members:
            if member.direction == "out":
                rows = scores[prunable.weight_name(member.layer)].detach().cpu().double().flatten(1)
                per_row = rows.sum(1) if norm == "l1" else rows.square().sum(1)
                total.index_add_(0, member.units, per_row[member.indices])
        worths.append(total if norm == "l1" else total.sqrt())
    return worths


def choose(
    groups: Sequence[UnitGroup],
    worths: Sequence[Tensor],
    shapes: Mapping[str, torch.Size],
    sparsity: float,
    rule: allocation.Allocation,
) -> Choice:
    """The first units, in the allocation's order, whose removal comes closest to the sparsity.

    ``shapes``: layer → its weight's shape, for every prunable layer: the denominator. What is left is counted
    from kept rows and columns. Raises PruningError, which names the most that is reachable, if all removable
    units together fall short by more than half a unit.
    """
    rows = {layer: shape[0] for layer, shape in shapes.items()}
    columns = {layer: shape[1] for layer, shape in shapes.items()}
    kernel = {layer: shape[2:].numel() for layer, shape in shapes.items()}
    total = remaining = sum(shape.numel() for shape in shapes.values())
    wanted = (1 - sparsity) * total
    owned = [_owned(group) for group in groups]
    gone: list[tuple[int, int]] = []
    step = 0
    for group, unit in allocation.order(worths, rule):
        if remaining <= wanted:
            break
        if any(
            rows[layer] == out[unit] or columns[layer] == into[unit]
            for layer, (out, into) in owned[group].items()
        ):
            continue  # the last unit of a layer stays
        before = remaining
        for layer, (out, into) in owned[group].items():
            size = rows[layer] * columns[layer]
            rows[layer] -= out[unit]
            columns[layer] -= into[unit]
            remaining -= (size - rows[layer] * columns[layer]) * kernel[layer]
        step = before - remaining
        if wanted - remaining > before - wanted:  # without this unit it is closer
            remaining = before
            break
        gone.append((group, unit))
    if 2 * (remaining - wanted) > step:
        raise PruningError(
            f"sparsity {sparsity:g} is beyond reach by removing units: with one unit left in each layer "
            f"{remaining} of {total} weights remain, sparsity {at_most(1 - remaining / total)}"
        )
    history = []
    for i, found in enumerate(groups):
        indices = tuple(sorted(unit for g, unit in gone if g == i))
        if indices:
            history.append(Removal(layer=found.root, direction="out", indices=indices))
    return Choice(tuple(history), remaining, step)


def _owned(group: UnitGroup) -> dict[str, tuple[list[int], list[int]]]:
    """Layer → how many rows, and how many columns, of its weight each unit owns."""
    owned: dict[str, tuple[list[int], list[int]]] = {}
    for member in group.members:
        counts = torch.bincount(member.units, minlength=group.size).tolist()
        rows, columns = owned.get(member.layer, ([0] * len(counts), [0] * len(counts)))
        owned[member.layer] = (counts, columns) if member.direction == "out" else (rows, counts)
    return owned
