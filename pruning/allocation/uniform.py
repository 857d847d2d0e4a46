"""The same share of every layer."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pruning.allocation import Layer

SOURCE = "Blalock et al. 2020, arXiv:2003.03033 (layerwise magnitude pruning)"
BY_RANK = True


def keys(layers: Sequence[Layer]) -> list[Tensor]:
    """(rank + ½) / n: Webster's method of apportionment, every layer gives up its share to within one."""
    return [(torch.arange(n, dtype=torch.float64) + 0.5) / n for n in (len(layer.scores) for layer in layers)]
