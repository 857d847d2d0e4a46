"""The absolute value of a weight: small weights go first, large negative ones stay."""

from collections.abc import Mapping

from torch import Tensor

from pruning.criteria import Context

SOURCE = "Han et al. 2015, arXiv:1506.02626"
NEEDS = "weights"
NORM = "l2"


def score(weights: Mapping[str, Tensor], context: Context) -> dict[str, Tensor]:
    """|w|, in the weight's own shape and dtype."""
    return {name: weight.detach().abs() for name, weight in weights.items()}
