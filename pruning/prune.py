"""Pruning: a model, a recipe and a sparsity in; a pruned model out, with what was really achieved."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pruning import coupling, masks, prunable, removal, selection, units
from pruning.errors import PruningError
from pruning.recipe import Recipe
from pruning.removal import Removal
from pruning.sample import Sample
from pruning.scoring import Known, Scores, score


@dataclass(frozen=True, slots=True)
class Pruned:
    """A pruned model: an ordinary module with an ordinary state_dict."""

    model: nn.Module
    masks: Mapping[str, Tensor]
    """Parameter name → mask, True: kept. To be held while training; empty where units were removed."""
    history: tuple[Removal, ...]
    """The units that were removed; empty where weights were set to zero."""
    achieved: float
    """Share of the dense model's prunable weights that is gone, counted in the result."""
    note: str = ""
    """What was left whole, and why; empty where nothing was."""


def prune(
    model: nn.Module,
    recipe: Recipe,
    sparsity: float | None,
    *,
    example_input: Tensor,
    generator: torch.Generator,
    sample: Sample | None = None,
    known: Known | None = None,
    kept: masks.Masks | None = None,
) -> Pruned:
    """Prune a copy of the model, one-shot; the model itself is left as it was.

    ``sparsity``: share of prunable weights (``pruning.prunable``) to go, in [0, 1). Single weights: exactly
    ``round(sparsity × total)`` are dropped, ties included. Units: as many as come closest, within half a
    unit's weights. None where the recipe's threshold decides. ``example_input``: (N, …) in the model's own
    units, to trace and check their removal. ``generator``: the only source of random numbers. ``sample``:
    training data, for criteria that look at the model at work. ``known``: scores of this very model, so that
    a sweep over sparsities need not find them again. ``kept``: masks of earlier rounds; what they dropped
    goes again, before anything else, and counts.

    Raises PruningError if nothing is prunable, the sparsity is out of range or beyond reach, a weight is not
    finite, training data is wanted and missing, or the model does not allow the removal of units.
    """
    if recipe.sweeps and (sparsity is None or not 0 <= sparsity < 1):
        raise PruningError(f"sparsity must be in [0, 1), got {sparsity}")
    if not recipe.sweeps and sparsity is not None:
        raise PruningError(f"{recipe.name} has a threshold, from which its sparsity follows: ask for none")

    prunable.watch(model, example_input)
    found = dict(known or {})

    def scores_of(used: Recipe) -> Scores:
        if used.basis not in found:
            new = score(model, used, example_input=example_input, generator=generator, sample=sample)
            found[used.basis] = replace(new, weights=masks.rescored(new.weights, kept)) if kept else new
        return found[used.basis]

    if recipe.granularity == "weight":
        chosen = selection.of_weights(model, recipe, sparsity, scores_of)
        if kept:
            chosen = masks.nested(chosen, kept, scores_of(recipe).weights)
        return _weights(model, chosen, recipe, sparsity)
    return _units(model, recipe, sparsity, scores_of, example_input)


def achieved(model: nn.Module, dense_weights: int) -> float:
    """Share of the dense model's prunable weights that a model no longer has, or has as zeros."""
    return 1 - sum(int(weight.count_nonzero()) for weight in prunable.weights(model).values()) / dense_weights


def _weights(
    model: nn.Module, chosen: Mapping[str, Tensor], recipe: Recipe, sparsity: float | None
) -> Pruned:
    pruned = copy.deepcopy(model)
    pruned.zero_grad(set_to_none=True)
    masks.apply(pruned, chosen)
    total = sum(weight.numel() for weight in prunable.weights(pruned).values())
    dropped = sum(mask.numel() - int(mask.count_nonzero()) for mask in chosen.values())
    result = achieved(pruned, total)
    # a dense weight that was zero before may be kept by the mask: never less is gone than was asked
    asked = dropped if sparsity is None else round(sparsity * total)
    if dropped != asked or round(result * total) < dropped:
        raise AssertionError(f"{recipe.name}: asked {asked} of {total}: {dropped} dropped, {result} achieved")
    return Pruned(pruned, chosen, (), result)


def _units(
    model: nn.Module,
    recipe: Recipe,
    sparsity: float | None,
    scores_of: Callable[[Recipe], Scores],
    example_input: Tensor,
) -> Pruned:
    total = sum(weight.numel() for weight in prunable.weights(model).values())
    groups = coupling.find(model, example_input)
    choice = selection.of_units(model, recipe, sparsity, scores_of, groups, example_input)
    pruned, problem = removal.tried(model, choice.gone, example_input)
    note = ""
    if problem:
        groups, note = units.sound(model, groups, example_input)
        choice = selection.of_units(model, recipe, sparsity, scores_of, groups, example_input)
        pruned, problem = removal.tried(model, choice.gone, example_input)
    if problem:
        raise PruningError(f"{problem}; use granularity 'weight'")
    left = sum(weight.numel() for weight in prunable.weights(pruned).values())
    # behind a concatenation the units of a group differ in size: as many as another recipe's may come to more
    asked = sparsity is not None and recipe.like is None and recipe.target == "weights"
    off = 2 * abs((1 - (sparsity or 0)) * total - left) if asked else 0.0
    if left != choice.remaining or off > choice.step + 1e-9 * total:
        raise AssertionError(f"asked {sparsity} of {total}, planned {choice.remaining} left, {left} are")
    return Pruned(pruned, {}, choice.history, achieved(pruned, total), note)
