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
    plain = scores.detach().cpu()
    rising = np.sort(
        (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()
    )  # several times as fast as torch's
    squares = np.square(rising, dtype=np.float64)
    above = np.cumsum(squares[::-1])[::-1]
    shares = np.divide(squares, above, out=squares, where=above > 0)  # zero where all above is
    return torch.from_numpy(np.maximum.accumulate(shares, out=shares))  # ties rise too, but for rounding
