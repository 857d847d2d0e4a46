"""What a recipe wants to know of a model, found once for a whole sweep of sparsities; and kept in a file."""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from pruning import prunable, sensitivity, storage
from pruning.allocation import allocation, finite
from pruning.criteria import Context, criterion
from pruning.errors import PruningError
from pruning.recipe import Recipe
from pruning.sample import Sample


@dataclass(frozen=True, slots=True)
class Scores:
    """By weight name the scores of its criterion; by layer how sensitive it is, where the allocation asks."""

    weights: Mapping[str, Tensor]
    sensitivity: Mapping[str, float] = field(default_factory=dict)


Known = Mapping[Recipe, Scores]
"""Scores found before, by ``Recipe.basis``."""


def bases(recipe: Recipe) -> list[Recipe]:
    """Every basis whose scores are worth keeping for a sweep: more than a look at the weights."""
    found = [used.basis for used in (recipe, recipe.like) if used is not None]
    return [
        basis
        for basis in dict.fromkeys(found)
        if criterion(basis.criterion).needs != "weights" or allocation(basis.allocation).needs_sensitivity
    ]


def needs_data(recipe: Recipe) -> str:
    """The name of what needs training data, or nothing."""
    for used in (recipe, recipe.like):
        if used is not None and criterion(used.criterion).needs == "data":
            return f"criterion '{used.criterion}'"
        if used is not None and allocation(used.allocation).needs_sensitivity:
            return f"allocation '{used.allocation}'"
    return ""


def score(
    model: nn.Module,
    recipe: Recipe,
    *,
    example_input: Tensor,
    generator: torch.Generator,
    sample: Sample | None = None,
) -> Scores:
    """Score a model's prunable weights; the model, its gradients and the global generators stay as they are.

    ``example_input``: (N, …) in the model's own units; ``sample``: training data, for a criterion or an
    allocation that looks at a model at work. Raises PruningError where it is missing, where every layer is
    excluded or none is prunable, or where a weight is not finite.
    """
    prunable.watch(model, example_input)
    wanted = weights(model, recipe)
    chosen, rule = criterion(recipe.criterion), allocation(recipe.allocation)
    if sample is None and (needy := needs_data(recipe.basis)):
        raise PruningError(f"{needy} looks at the model at work: it needs training data, and there is none")
    if chosen.needs == "weights":
        found = chosen.score(wanted, Context(generator, model, example_input))
    else:
        own = copy.deepcopy(model).eval().requires_grad_(True)
        held = {name: own.get_parameter(name) for name in wanted}
        device = next(iter(held.values())).device
        context = Context(generator, own, example_input.to(device), sample, recipe.granularity)
        with torch.random.fork_rng():
            torch.manual_seed(0)  # should the model draw, each score meets the same draws
            found = {name: score.cpu() for name, score in chosen.score(held, context).items()}
    if not rule.needs_sensitivity:
        return Scores(found)
    assert sample is not None
    return Scores(found, sensitivity.measure(model, recipe, found, example_input, sample))


def weights(model: nn.Module, recipe: Recipe) -> dict[str, nn.Parameter]:
    """The weights that a recipe prunes. Raises PruningError if there are none, or not all are finite."""
    every = prunable.weights(model)
    excluded = prunable.excluded(model, recipe.exclude)
    kept = {name for name in every if prunable.layer_of(name) in excluded}
    if len(kept) == len(every):
        raise PruningError(
            f"exclude = {list(recipe.exclude)} leaves no layer to prune: there are only {', '.join(every)}"
        )
    for name, weight in every.items():
        if not finite(weight):
            raise PruningError(f"{name} holds NaN or infinity: it cannot be pruned")
    return {name: weight for name, weight in every.items() if name not in kept}


def save(scores: Scores, path: Path) -> None:
    """Write scores, so that the file is there whole or not at all."""
    storage.write(dict(scores.weights), path, {"sensitivity": json.dumps(dict(scores.sensitivity))})


def load(path: Path) -> Scores:
    """Scores as they were written, bit for bit."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        return Scores(tensors, json.loads(file.metadata()["sensitivity"]))
