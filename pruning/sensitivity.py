"""How much each layer matters: what the training loss becomes when that layer alone is pruned hard.

Han et al. 2015, arXiv:1506.02626, and Li et al. 2017, arXiv:1608.08710, choose each layer's share by it.
"""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pruning import allocation, coupling, prunable, units
from pruning.allocation.layerwise import CAP
from pruning.coupling import UnitGroup
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
        group.root: _loss_without(model, _zeros(model, group, _lowest(importance)), sample)
        for group, importance in zip(groups, importances, strict=True)
    }


def _lowest(scores: Tensor) -> Tensor:
    """True for the lowest share that one pass takes."""
    return allocation.ranks(scores) < min(len(scores) - 1, round(CAP * len(scores)))


def _zeros(model: nn.Module, group: UnitGroup, gone: Tensor) -> dict[str, Tensor]:
    """By parameter name what is zero without these units: filters, biases, and the columns that read."""
    zeros: dict[str, Tensor] = {}
    for member in group.members:
        layer = model.get_submodule(member.layer)
        channels = member.indices[gone.cpu()[member.units]]
        name = prunable.weight_name(member.layer)
        zeros.setdefault(name, torch.zeros_like(layer.get_parameter("weight"), dtype=torch.bool))
        zeros[name][channels if member.direction == "out" else (slice(None), channels)] = True
        if member.direction == "out" and isinstance(layer.bias, nn.Parameter):
            bias = torch.zeros_like(layer.bias, dtype=torch.bool)
            bias[channels] = True
            zeros[name.removesuffix("weight") + "bias"] = bias
    return zeros


def _loss_without(model: nn.Module, zeros: Mapping[str, Tensor], sample: Sample) -> float:
    trial = copy.deepcopy(model)
    with torch.no_grad():
        for name, gone in zeros.items():
            parameter = trial.get_parameter(name)
            parameter.masked_fill_(gone.to(parameter.device), 0)
    return sample.mean_loss(trial)
