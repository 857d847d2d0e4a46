"""LAMP: one ranking by score as a share of the same layer's scores that are no smaller."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pruning.allocation import Layer

SOURCE = "Lee et al. 2021, arXiv:2010.07611"
BY_RANK = True


def keys(layers: Sequence[Layer]) -> list[Tensor]:
    """s² / Σ of the squares from this one upwards, ties by index; 1 for the best of each layer."""
    return [_lamp(layer.scores) for layer in layers]


def _lamp(scores: Tensor) -> Tensor:
    rising = torch.from_numpy(np.sort(scores.detach().cpu().numpy()))  # several times as fast as torch's
    squares = rising.double().square()
    above = squares.flip(0).cumsum(0).flip(0)
    shares = torch.where(above > 0, squares / above, 0.0)
    return shares.cummax(0).values  # ties rise too, but for rounding
