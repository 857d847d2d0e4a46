"""Chance: the control that shows what a criterion is worth."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pruning.coupling import UnitGroup
from pruning.criteria import Context, _groups

SOURCE = "Blalock et al. 2020, arXiv:2003.03033 (random baseline)"
NEEDS = "weights"


def score(weights: Mapping[str, Tensor], context: Context) -> dict[str, Tensor]:
    """Uniform draws from [0, 1), in the weight's shape, drawn where the generator lives."""
    generator = context.generator
    return {
        name: torch.rand(weight.shape, generator=generator, device=generator.device).to(weight.device)
        for name, weight in weights.items()
    }


def importance(groups: Sequence[UnitGroup], scores: Mapping[str, Tensor]) -> list[Tensor]:
    """The draw of a unit's first element: a sum would make large units matter more than small ones."""
    return [_groups.first(group, scores) for group in groups]
