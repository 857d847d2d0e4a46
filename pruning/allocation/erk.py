"""Erdős–Rényi kernel: a layer's density goes by the sum of its dimensions over their product."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pruning.allocation import Layer

SOURCE = "Evci et al. 2020, arXiv:1911.11134 (RigL)"
BY_RANK = True


def keys(layers: Sequence[Layer]) -> list[Tensor]:
    """−(j − ½)/dims for the j-th best: at every ε a layer keeps ε·``dims``, rounded, or all that it has.

    So layers of high density stay whole until the others have come down to them.
    """
    return [
        (torch.arange(len(layer.scores), dtype=torch.float64) + 0.5 - len(layer.scores)) / layer.dims
        for layer in layers
    ]
