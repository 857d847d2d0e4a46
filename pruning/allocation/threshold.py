"""An explicit α: what scores at most α goes, and the sparsity is what follows from it."""

from collections.abc import Sequence

from torch import Tensor

from pruning.allocation import Layer

SOURCE = "Han et al. 2015, arXiv:1506.02626"


def keys(layers: Sequence[Layer]) -> list[Tensor]:
    """The scores themselves; the recipe's ``threshold`` says how many go."""
    return [layer.scores for layer in layers]
