"""One ranking by score over the mean of the same layer's scores: layers of other scales compare."""

from collections.abc import Sequence

from torch import Tensor

from pruning.allocation import Layer

SOURCE = "normalisation of criteria by layer: Molchanov et al. 2017, arXiv:1611.06440, §2.2"


def keys(layers: Sequence[Layer]) -> list[Tensor]:
    """s / mean of the layer's s; scores that are all zero stay so."""
    return [_over_mean(layer.scores.double()) for layer in layers]


def _over_mean(scores: Tensor) -> Tensor:
    mean = scores.mean()
    return scores / mean if mean > 0 else scores
