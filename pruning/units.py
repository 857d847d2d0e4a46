"""Units: filters and neurons that go together, what each is worth, and which go for a wanted sparsity."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from pruning import prunable, tracing
from pruning.criteria import criterion
from pruning.errors import PruningError, at_most
from pruning.recipe import Recipe
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


def find(model: nn.Module, example_input: Tensor, excluded: Collection[str] = ()) -> list[UnitGroup]:
    """All groups of removable units, in the model's order; never those of the output layer.

    ``example_input``: (N, …); ``excluded``: layers that keep their width. Raises PruningError if parameters
    are tied, if the model cannot run the example, or if it has no removable unit.
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
        if not any(member.direction == "out" and member.layer in excluded for member in members):
            groups.append(UnitGroup(names[root], len(found[0].idxs), tuple(members)))
    if not any(group.size > 1 for group in groups):
        raise PruningError(
            f"{type(model).__name__} has no filter or neuron that can be removed (the output layer keeps its "
            "width, every layer at least one unit): use granularity 'weight'"
        )
    place = {name: i for i, name in enumerate(names.values())}
    return sorted(groups, key=lambda group: place[group.root])


def worth(groups: Sequence[UnitGroup], scores: Mapping[str, Tensor], recipe: Recipe) -> list[Tensor]:
    """Per group a float64 vector: what each unit is worth, as the criterion has it (``Criterion.unit``).

    Where the elements of filters are combined, all filters that a unit owns count together. Raises
    PruningError if the criterion looks at what reads the units and sees nothing to choose by.
    """
    way = criterion(recipe.criterion).unit
    if way == "readers":
        found = [_as_read(group, scores) for group in groups]
        if all((worth == 1).all() for worth in found):
            raise PruningError(
                f"{recipe.criterion}: no unit of {groups[0].root} or any other layer is ever exactly zero: "
                "it needs activations such as ReLU; choose another criterion"
            )
        return found
    if way == "first":
        roots = [scores[prunable.weight_name(group.root)].cpu().double() for group in groups]
        return [root.flatten(1)[:, 0] for root in roots]
    return [_as_owned(group, scores, squared=recipe.norm == "l2") for group in groups]


def _as_owned(group: UnitGroup, scores: Mapping[str, Tensor], *, squared: bool) -> Tensor:
    total = torch.zeros(group.size, dtype=torch.float64)
    for member in group.members:
        if member.direction == "out":
            rows = scores[prunable.weight_name(member.layer)].detach().cpu().double().flatten(1)
            per_row = rows.square().sum(1) if squared else rows.sum(1)
            total.index_add_(0, member.units, per_row[member.indices])
    return total.sqrt() if squared else total


def _as_read(group: UnitGroup, scores: Mapping[str, Tensor]) -> Tensor:
    """The mean over the layers that read a unit, of the mean over the columns by which they read it."""
    means, readers = torch.zeros(group.size, dtype=torch.float64), torch.zeros(group.size)
    for member in group.members:
        name = prunable.weight_name(member.layer)
        if member.direction == "in" and name in scores:  # an excluded reader is not looked at
            columns = scores[name].cpu().double().flatten()[member.indices]
            count = torch.bincount(member.units, minlength=group.size)
            means += torch.zeros_like(means).index_add_(0, member.units, columns) / count.clamp(min=1)
            readers += count > 0  # behind a concatenation, a layer reads some of the units
    if not readers.all():
        raise PruningError(f"nothing is known of what reads the units of {group.root}: exclude fewer layers")
    return means / readers


def choose(
    groups: Sequence[UnitGroup],
    order: Sequence[tuple[int, int]],
    shapes: Mapping[str, torch.Size],
    sparsity: float | None,
) -> Choice:
    """The first units of the order, (group, unit), whose removal comes closest to the sparsity; None: all.

    ``shapes``: layer → its weight's shape, for every prunable layer: the denominator. What is left is counted
    from kept rows and columns. The last unit of a layer is passed over. Raises PruningError, which names the
    most that is reachable, if all units together fall short by more than half a unit.
    """
    tally = _Tally(shapes)
    total = tally.remaining
    wanted = 0.0 if sparsity is None else (1 - sparsity) * total
    owned = [_owned(group) for group in groups]
    gone: list[tuple[int, int]] = []
    step = 0
    for group, unit in order:
        if tally.remaining <= wanted:
            break
        if not tally.can_lose(owned[group], unit):
            continue
        before = tally.remaining
        tally.lose(owned[group], unit)
        step = before - tally.remaining
        if wanted - tally.remaining > before - wanted:  # without this unit it is closer
            tally.remaining = before
            break
        gone.append((group, unit))
    remaining = tally.remaining
    if sparsity is not None and 2 * (remaining - wanted) > step:
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


class _Tally:
    """Counts the prunable weights that remain while units go."""

    def __init__(self, shapes: Mapping[str, torch.Size]) -> None:
        self._rows = {layer: shape[0] for layer, shape in shapes.items()}
        self._columns = {layer: shape[1] for layer, shape in shapes.items()}
        self._kernel = {layer: shape[2:].numel() for layer, shape in shapes.items()}
        self.remaining = sum(shape.numel() for shape in shapes.values())

    def can_lose(self, owned: "_Owned", unit: int) -> bool:
        """Whether every layer keeps a row and a column."""
        return not any(
            self._rows[layer] == out[unit] or self._columns[layer] == into[unit]
            for layer, (out, into) in owned.items()
        )

    def lose(self, owned: "_Owned", unit: int) -> None:
        """Take a unit's rows and columns away."""
        for layer, (out, into) in owned.items():
            size = self._rows[layer] * self._columns[layer]
            self._rows[layer] -= out[unit]
            self._columns[layer] -= into[unit]
            self.remaining -= (size - self._rows[layer] * self._columns[layer]) * self._kernel[layer]


_Owned = Mapping[str, tuple[Sequence[int], Sequence[int]]]
"""Layer → how many rows, and how many columns, of its weight each unit owns."""


def _owned(group: UnitGroup) -> _Owned:
    owned: dict[str, tuple[list[int], list[int]]] = {}
    for member in group.members:
        counts = torch.bincount(member.units, minlength=group.size).tolist()
        rows, columns = owned.get(member.layer, ([0] * len(counts), [0] * len(counts)))
        owned[member.layer] = (counts, columns) if member.direction == "out" else (rows, counts)
    return owned
