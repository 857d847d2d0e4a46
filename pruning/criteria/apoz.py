"""Activation sparsity: the units that are zero most often (APoZ, average percentage of zeros) go first."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pruning.coupling import UnitGroup
from pruning.criteria import Context, _groups, _inputs
from pruning.errors import PruningError

SOURCE = "Hu et al. 2016, arXiv:1607.03250"
NEEDS = "data"
UNITS_ONLY = True


def score(weights: Mapping[str, Tensor], context: Context) -> dict[str, Tensor]:
    """1 − APoZ of each channel that a layer reads, shape (1, channels).

    A unit's zeros are counted where the next layers read it: after its activation, and after pooling where
    there is some; over all positions and examples. Single weights have no activation: units only.
    """
    zeros: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def look(name: str, layer: nn.Module, x: Tensor) -> None:
        channels = x.movedim(1 if isinstance(layer, _inputs.CONVOLUTIONS) else -1, 0).flatten(1)
        found = (channels == 0).sum(1, dtype=torch.float64)
        zeros[name] = zeros[name] + found if name in zeros else found
        counts[name] = counts.get(name, 0) + channels.shape[1]

    _inputs.watch(weights, context, look)
    return {name: (1 - zeros[name] / counts[name]).unsqueeze(0) for name in weights}


def importance(groups: Sequence[UnitGroup], scores: Mapping[str, Tensor]) -> list[Tensor]:
    """The mean over the layers that read a unit. Raises PruningError where none is ever zero."""
    found = [_groups.read(group, scores) for group in groups]
    if all((units == 1).all() for units in found):
        raise PruningError(
            f"apoz: no unit of {groups[0].root} or any other layer is ever exactly zero: "
            "it needs activations such as ReLU; choose another criterion"
        )
    return found
