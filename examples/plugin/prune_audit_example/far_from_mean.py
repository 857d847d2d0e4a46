"""How far a weight lies from the mean of its layer: the commonest values go first."""

from collections.abc import Mapping

from torch import Tensor

from pruning.criteria import Context

SOURCE = "an example"
NEEDS = "weights"


def score(weights: Mapping[str, Tensor], context: Context) -> dict[str, Tensor]:
    """|w − mean(w)|, in the weight's own shape."""
    del context
    return {name: (weight.detach() - weight.detach().mean()).abs() for name, weight in weights.items()}
