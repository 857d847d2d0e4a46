"""Chance: the control that shows what a criterion is worth."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pruning.criteria import Context

SOURCE = "Blalock et al. 2020, arXiv:2003.03033 (random baseline)"


def score(weights: Mapping[str, Tensor], context: Context) -> dict[str, Tensor]:
    """Uniform draws from [0, 1), in the weight's shape, drawn where the generator lives."""
    generator = context.generator
    return {
        name: torch.rand(weight.shape, generator=generator, device=generator.device).to(weight.device)
        for name, weight in weights.items()
    }
