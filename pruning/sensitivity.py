"""How much each layer matters: what the training loss becomes when that layer alone is pruned hard.

Han et al. 2015, arXiv:1506.02626, and Li et al. 2017, arXiv:1608.08710, choose each layer's share by it.
"""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pruning import allocation, coupling, prunable, removal, units
from pruning.allocation.layerwise import CAP
from pruning.recipe import Recipe
from pruning.sample import Sample


def measure(
    model: nn.Module, recipe: Recipe, scores: Mapping[str, Tensor], example_input: Tensor, sample: Sample
) -> dict[str, float]:
    """By weight name, or by the root layer of a group of units: mean training loss without its lowest 90%.

    90% is the share that ``layerwise`` takes of a layer at first. Nothing is trained in between.
    """
    if recipe.granularity == "weight":
        trials = {
            name: {name: _lowest(score.flatten()).reshape(score.shape)} for name, score in scores.items()
        }
        return {name: _loss_without(model, gone, sample) for name, gone in trials.items()}
    groups = coupling.find(model, example_input, prunable.excluded(model, recipe.exclude))
    importances = units.importance(groups, scores, recipe)
    return {
        group.root: sample.mean_loss(
            removal.zeroed(model, coupling.marks([group], [_lowest(importance).nonzero().flatten().tolist()]))
        )
        for group, importance in zip(groups, importances, strict=True)
    }


def _lowest(scores: Tensor) -> Tensor:
    """True for the lowest share that one pass takes."""
    return allocation.ranks(scores) < min(len(scores) - 1, round(CAP * len(scores)))


def _loss_without(model: nn.Module, zeros: Mapping[str, Tensor], sample: Sample) -> float:
    trial = copy.deepcopy(model)
    with torch.no_grad():
        for name, gone in zeros.items():
            parameter = trial.get_parameter(name)
            parameter.masked_fill_(gone.to(parameter.device), 0)
    return sample.mean_loss(trial)
