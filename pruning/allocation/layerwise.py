"""Layer by layer, the least sensitive first, each to nine tenths; then again to nine tenths of the rest."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pruning.allocation import Layer

SOURCE = "sensitivity of layers: Han et al. 2015, arXiv:1506.02626; Li et al. 2017, arXiv:1608.08710"
NEEDS_SENSITIVITY = True
BY_RANK = True

CAP = 0.9
"""The share of a layer that goes in one pass, of what the passes before have left."""


def keys(layers: Sequence[Layer]) -> list[Tensor]:
    """Pass, then layer by sensitivity, then rank. Ties of sensitivity go by the order of the layers."""
    by_sensitivity = sorted(range(len(layers)), key=lambda i: layers[i].sensitivity)
    found = []
    for i, layer in enumerate(layers):
        n = len(layer.scores)
        rank = torch.arange(n, dtype=torch.float64)
        place = torch.full((n,), float(by_sensitivity.index(i)), dtype=torch.float64)
        for cap in _caps(n):
            place[cap:] += len(layers)
        found.append(place + (rank + 0.5) / n)
    return found


def _caps(n: int) -> list[int]:
    """How many of a layer of n are gone after each pass, until one is left."""
    caps = [0]
    while caps[-1] < n - 1:
        caps.append(min(n - 1, max(caps[-1] + 1, round(n - (n - caps[-1]) * (1 - CAP)))))
    return caps[1:]
