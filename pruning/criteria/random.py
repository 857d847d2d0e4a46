"""Chance: the control that shows what a criterion is worth."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pruning.criteria import Context

SOURCE = "Blalock et al. 2020, arXiv:2003.03033 (random baseline)"
NEEDS = "weights"
UNIT = "first"


def score(weights: Mapping[str, Tensor], context: Context) -> dict[str, Tensor]:
    """Uniform draws from [0, 1), in the weight's shape, drawn where the generator lives.

    A unit's worth is its first element's draw: a sum would make large units matter more than small ones.
    """
    generator = context.generator
    return {
        name: torch.rand(weight.shape, generator=generator, device=generator.device).to(weight.device)
        for name, weight in weights.items()
    }
