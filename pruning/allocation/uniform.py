"""The same share of every layer."""

from collections.abc import Sequence

from torch import Tensor

from pruning.allocation import Layer, ranks

SOURCE = "Blalock et al. 2020, arXiv:2003.03033 (layerwise magnitude pruning)"


def keys(layers: Sequence[Layer]) -> list[Tensor]:
    """(rank + ½) / n: Webster's method of apportionment, every layer gives up its share to within one."""
    return [(ranks(layer.scores) + 0.5) / len(layer.scores) for layer in layers]
