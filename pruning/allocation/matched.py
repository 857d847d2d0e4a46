"""Of each layer as many as another recipe takes: the control that has its layer counts and not its choice."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pruning.allocation import Layer

SOURCE = "Frankle et al. 2021, arXiv:2009.08576 (random choice within layers)"
BY_RANK = True


def keys(layers: Sequence[Layer]) -> list[Tensor]:
    """Below 0 for the ``taken`` lowest of each layer, which come to exactly the other recipe's total."""
    return [torch.arange(len(layer.scores), dtype=torch.float64) - layer.taken for layer in layers]
