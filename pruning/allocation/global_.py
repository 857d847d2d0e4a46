"""One ranking by score over all layers: one threshold for the whole network."""

from collections.abc import Sequence

from torch import Tensor

from pruning.allocation import Layer

SOURCE = "Blalock et al. 2020, arXiv:2003.03033 (global magnitude pruning)"


def keys(layers: Sequence[Layer]) -> list[Tensor]:
    """The scores themselves."""
    return [layer.scores for layer in layers]
