"""The same share of every row of every layer: what one output is computed from is compared with itself."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pruning.allocation import Layer

SOURCE = "Sun et al. 2024, arXiv:2306.11695 (comparison per output)"


def keys(layers: Sequence[Layer]) -> list[Tensor]:
    """(rank within the row + ½) / length of the row."""
    found = []
    for layer in layers:
        rows = layer.scores.reshape(-1, layer.row)
        places = torch.empty_like(rows, dtype=torch.float64)
        steps = torch.arange(layer.row, dtype=torch.float64, device=rows.device).expand_as(places)
        places.scatter_(1, torch.sort(rows, dim=1, stable=True).indices, steps)
        found.append(((places + 0.5) / layer.row).flatten())
    return found
