"""Units: how much each matters, which go for a wanted sparsity, and which can really go."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning import prunable, removal
from pruning.coupling import UnitGroup, history, marks
from pruning.criteria import _groups, criterion
from pruning.errors import PruningError, at_most
from pruning.recipe import Recipe
from pruning.removal import Gone, Removal


@dataclass(frozen=True, slots=True)
class Choice:
    """Which units go, and what that comes to."""

    history: tuple[Removal, ...]
    taken: Mapping[str, int]
    """Root → how many of its units."""
    gone: Gone
    remaining: int
    """Prunable weights left."""
    step: int
    """Prunable weights of the last unit weighed: the result is within half of it of the request."""


def sound(
    model: nn.Module, groups: Sequence[UnitGroup], example_input: Tensor
) -> tuple[list[UnitGroup], str]:
    """The groups whose units can really go, and a note of the layers of the others with what they hold.

    Groups are tried together, then by halves, with every other unit gone. Raises PruningError, with what went
    wrong, if none is sound.
    """
    shapes = {prunable.layer_of(name): w.shape for name, w in prunable.weights(model).items()}
    kept: list[UnitGroup] = []
    problems: dict[str, str] = {}

    def add(some: Sequence[UnitGroup]) -> None:
        together = [*kept, *some]
        _, problem = removal.tried(model, marks(together, _every_other(together, shapes)), example_input)
        if not problem:
            kept.extend(some)
        elif len(some) == 1:
            problems[some[0].root] = problem
        else:
            add(some[: len(some) // 2])
            add(some[len(some) // 2 :])

    add(groups)
    if not any(group.size > 1 for group in kept):
        raise PruningError(f"{next(iter(problems.values()))}; use granularity 'weight'")
    whole = {
        member.layer: len(member.indices) * shapes[member.layer][1:].numel()
        for group in groups
        if group.root in problems
        for member in group.members
        if member.direction == "out"
    }
    if not whole:
        return list(groups), ""
    share = sum(whole.values()) / sum(shape.numel() for shape in shapes.values())
    return [group for group in groups if group.root not in problems], (
        f"left whole: {', '.join(whole)} ({share:.1%} of the prunable weights), whose units cannot be "
        "removed exactly"
    )


def reach(model: nn.Module, groups: Sequence[UnitGroup]) -> float:
    """The largest share of the prunable weights that can go unit by unit, one unit left in each layer."""
    shapes = {prunable.layer_of(name): w.shape for name, w in prunable.weights(model).items()}
    every = [(i, unit) for i, group in enumerate(groups) for unit in range(group.size)]
    left = choose(groups, every, shapes, None).remaining
    return 1 - left / sum(shape.numel() for shape in shapes.values())


def _every_other(groups: Sequence[UnitGroup], shapes: Mapping[str, torch.Size]) -> list[list[int]]:
    """Of each group about half, no layer emptied."""
    tally = _Tally(shapes, Limits())
    chosen: list[list[int]] = []
    for group in groups:
        owned = _owned(group)
        candidates = range(min(1, group.size - 1), group.size, 2)
        chosen.append([unit for unit in candidates if tally.lose(owned, [unit])])
    return chosen


def importance(groups: Sequence[UnitGroup], scores: Mapping[str, Tensor], recipe: Recipe) -> list[Tensor]:
    """Per group a float64 vector: how much each unit matters, as the criterion has it.

    Where the elements of filters are combined, all filters that a unit owns count together. Raises
    PruningError if the criterion sees nothing to choose by.
    """
    chosen = criterion(recipe.criterion)
    if chosen.importance is not None:
        return chosen.importance(groups, scores)
    return [_groups.owned(group, scores, squared=recipe.norm == "l2") for group in groups]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a choice of units must keep to besides the sparsity."""

    round_to: int = 1
    """How many units a group keeps is a multiple of this, where any of it goes."""
    cap: float = 1.0
    """The share of a layer's filters or neurons that may go at most."""
    uses: Mapping[str, int] | None = None
    """Layer → how often each weight is used for one example: the sparsity is one of multiply-adds."""


def choose(
    groups: Sequence[UnitGroup],
    order: Sequence[tuple[int, int]],
    shapes: Mapping[str, torch.Size],
    sparsity: float | None,
    limits: Limits = Limits(),
) -> Choice:
    """The first units of the order, (group, unit), whose removal comes closest to the sparsity; None: all.

    Where the next is so large that it is closer without, and yet far (``CLOSE``), smaller ones of other
    groups that come later in the order fill up.

    ``shapes``: layer → its weight's shape, for every prunable layer: the denominator. What is left is counted
    from kept rows and columns. The last unit of a layer is passed over. Raises PruningError, which names the
    most that is reachable, if all units together fall short by more than half a unit.
    """
    tally = _Tally(shapes, limits)
    total = tally.cost
    wanted = 0.0 if sparsity is None else (1 - sparsity) * total
    owned = [_owned(group) for group in groups]
    gone: list[tuple[int, int]] = []
    passed: set[int] = set()
    step = stride = 0
    for group, bundle in _bundles(groups, order, limits.round_to):
        if tally.cost <= wanted + CLOSE * total * bool(passed):
            break
        before = tally.cost, tally.remaining
        if group in passed or not tally.lose(owned[group], bundle):
            continue
        change = before[0] - tally.cost, before[1] - tally.remaining
        stride, step = (max(stride, change[0]), max(step, change[1])) if passed else change
        if wanted - tally.cost > before[0] - wanted:  # without these it is closer: perhaps smaller ones fit
            tally.give_back(owned[group], bundle)
            passed.add(group)
            continue
        gone += [(group, unit) for unit in bundle]
    if sparsity is not None and 2 * (tally.cost - wanted) > stride:
        what = "weights" if limits.uses is None else "multiply-adds"
        raise PruningError(
            f"sparsity {sparsity:g} is beyond reach by removing units: with one unit left in each layer "
            f"{tally.cost} of {total} {what} remain, sparsity {at_most(1 - tally.cost / total)}"
        )
    units = [sorted(unit for g, unit in gone if g == i) for i in range(len(groups))]
    taken = {group.root: len(chosen) for group, chosen in zip(groups, units, strict=True) if chosen}
    return Choice(history(groups, units), taken, marks(groups, units), tally.remaining, step)


def _bundles(
    groups: Sequence[UnitGroup], order: Sequence[tuple[int, int]], round_to: int
) -> Iterator[tuple[int, list[int]]]:
    """Units that go at once, at the place of their last in the order: after each a multiple is left."""
    waiting: dict[int, list[int]] = {}
    wanted = [group.size % round_to or round_to for group in groups]
    for group, unit in order:
        bundle = waiting.setdefault(group, [])
        bundle.append(unit)
        if len(bundle) == wanted[group]:
            yield group, waiting.pop(group)
            wanted[group] = round_to


class _Tally:
    """Counts the prunable weights that remain while units go, and what the sparsity is a share of."""

    def __init__(self, shapes: Mapping[str, torch.Size], limits: Limits) -> None:
        self._rows = {layer: shape[0] for layer, shape in shapes.items()}
        self._columns = {layer: shape[1] for layer, shape in shapes.items()}
        self._kernel = {layer: shape[2:].numel() for layer, shape in shapes.items()}
        self._least = {
            layer: max(1, math.ceil((1 - limits.cap) * rows - 1e-9)) for layer, rows in self._rows.items()
        }
        uses = limits.uses
        self._uses = {layer: 1 if uses is None else uses.get(layer, 0) for layer in shapes}
        self.remaining = sum(shape.numel() for shape in shapes.values())
        self.cost = sum(shape.numel() * self._uses[layer] for layer, shape in shapes.items())

    def lose(self, owned: "_Owned", units: Sequence[int]) -> bool:
        """Take units' rows and columns away, all or none: every layer keeps a row and a column."""
        for i, unit in enumerate(units):
            if any(
                self._rows[layer] - out[unit] < self._least[layer] or self._columns[layer] == into[unit]
                for layer, (out, into) in owned.items()
            ):
                self.give_back(owned, units[:i])
                return False
            self._change(owned, unit, -1)
        return True

    def give_back(self, owned: "_Owned", units: Sequence[int]) -> None:
        """Undo what was lost."""
        for unit in units:
            self._change(owned, unit, 1)

    def _change(self, owned: "_Owned", unit: int, sign: int) -> None:
        for layer, (out, into) in owned.items():
            size = self._rows[layer] * self._columns[layer]
            self._rows[layer] += sign * out[unit]
            self._columns[layer] += sign * into[unit]
            change = (self._rows[layer] * self._columns[layer] - size) * self._kernel[layer]
            self.remaining += change
            self.cost += change * self._uses[layer]


CLOSE = 0.002
"""How close to the request is close enough, as a share of all: nearer, no smaller units are looked for."""

_Owned = Mapping[str, tuple[Sequence[int], Sequence[int]]]
"""Layer → how many rows, and how many columns, of its weight each unit owns."""


def _owned(group: UnitGroup) -> _Owned:
    owned: dict[str, tuple[list[int], list[int]]] = {}
    for member in group.members:
        counts = torch.bincount(member.units, minlength=group.size).tolist()
        rows, columns = owned.get(member.layer, ([0] * len(counts), [0] * len(counts)))
        owned[member.layer] = (counts, columns) if member.direction == "out" else (rows, counts)
    return owned
