"""Which weights or units go: scores and an allocation, turned into masks or a list of removals."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from pruning import allocation, coupling, prunable, scoring, tracing, units
from pruning.allocation import Layer
from pruning.coupling import UnitGroup
from pruning.errors import PruningError, at_most
from pruning.recipe import Recipe
from pruning.scoring import Scores

ScoresOf = Callable[[Recipe], Scores]
"""The scores that a recipe wants of the model."""


def of_weights(
    model: nn.Module, recipe: Recipe, sparsity: float | None, scores_of: ScoresOf
) -> dict[str, Tensor]:
    """Masks, True: kept, of the weights that a recipe prunes, by parameter name.

    Raises PruningError if so many would go that a layer would be empty.
    """
    weights = scoring.weights(model, recipe)
    found = scores_of(recipe)
    taken: dict[str, int] = {}
    if recipe.like is not None:
        other = of_weights(model, recipe.like, sparsity, scores_of)
        taken = {name: mask.numel() - int(mask.count_nonzero()) for name, mask in other.items()}
        _check_matched(recipe, taken.keys() - weights.keys())
    layers = {
        name: Layer(
            found.weights[name].detach().flatten(),
            row=weight[0].numel(),
            dims=sum(weight.shape),
            sensitivity=found.sensitivity.get(name, 0.0),
            taken=taken.get(name, 0),
        )
        for name, weight in weights.items()
    }
    allocation.check_finite(layers)
    total = sum(weight.numel() for weight in prunable.weights(model).values())
    if recipe.threshold is not None:
        zeros = sum(_at_most(layer, recipe.threshold, name) for name, layer in layers.items())
    elif recipe.like is not None:
        zeros = sum(taken.values())
    else:
        assert sparsity is not None
        zeros = round(sparsity * total)
        _check_reach(layers, zeros, total, sparsity)
    chosen = allocation.masks(layers, zeros, recipe.allocation)
    return {name: mask.reshape(weights[name].shape) for name, mask in chosen.items()}


def of_units(
    model: nn.Module,
    recipe: Recipe,
    sparsity: float | None,
    scores_of: ScoresOf,
    every: Sequence[UnitGroup],
    example_input: Tensor,
) -> units.Choice:
    """The units that a recipe removes, of every group that there is. ``example_input``: (N, …).

    Raises PruningError if the sparsity is beyond reach.
    """
    weights = scoring.weights(model, recipe)
    groups = coupling.spare(every, prunable.excluded(model, recipe.exclude))
    if not groups:
        raise PruningError(f"exclude = {list(recipe.exclude)} leaves no filter or neuron that can be removed")
    found = scores_of(recipe)
    importances = units.importance(groups, found.weights, recipe)
    shapes = {prunable.layer_of(name): w.shape for name, w in prunable.weights(model).items()}
    taken: dict[str, int] = {}
    if recipe.like is not None:
        other = of_units(model, recipe.like, sparsity, scores_of, every, example_input)
        taken = dict(other.taken)
        _check_matched(recipe, taken.keys() - {group.root for group in groups})
    layers = {}
    for group, importance in zip(groups, importances, strict=True):
        shape = weights[prunable.weight_name(group.root, weights)].shape
        layers[group.root] = Layer(
            importance,
            dims=sum(shape) * group.size / shape.numel(),
            sensitivity=found.sensitivity.get(group.root, 0.0),
            taken=taken.get(group.root, 0),
        )
    allocation.check_finite(layers)
    order = allocation.order(layers, recipe.allocation)
    if recipe.threshold is not None:
        order = order[: sum(_at_most(layer, recipe.threshold, name) for name, layer in layers.items())]
    elif recipe.like is not None:
        return units.choose(groups, order[: sum(taken.values())], shapes, None)
    uses = tracing.uses(model, example_input) if recipe.target == "macs" else None
    limits = units.Limits(recipe.round_to, recipe.cap, uses)
    return units.choose(groups, order, shapes, sparsity, limits)


def _at_most(layer: Layer, threshold: float, name: str) -> int:
    """How many score at most α. Raises PruningError if that is all of them."""
    count = int((layer.scores <= threshold).sum())
    if count == len(layer.scores):
        raise PruningError(
            f"threshold {threshold:g} would empty {name}, whose highest score is "
            f"{float(layer.scores.max()):.4g}: choose a smaller one, or exclude the layer"
        )
    return count


def _check_reach(layers: dict[str, Layer], zeros: int, total: int, sparsity: float) -> None:
    most = sum(len(layer.scores) for layer in layers.values()) - len(layers)
    if zeros > most:
        smallest = min(layers, key=lambda name: len(layers[name].scores))
        raise PruningError(
            f"sparsity {sparsity:g} means {zeros} of {total} weights gone, but each of the {len(layers)} "
            f"layers keeps at least one (the smallest is {smallest} with {len(layers[smallest].scores)}): "
            f"at most {most} can go, sparsity {at_most(most / total)}"
        )


def _check_matched(recipe: Recipe, beyond: set[str]) -> None:
    if beyond:
        raise PruningError(
            f"{recipe.name}: like takes from {', '.join(sorted(beyond))}, which is excluded here"
        )
