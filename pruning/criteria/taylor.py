"""First-order Taylor: |w·∂L/∂w|, how much the loss of a training example changes without the weight."""

from collections.abc import Mapping

from torch import Tensor

from pruning.criteria import Context, _gradients

SOURCE = "Mozer & Smolensky 1989 (skeletonization), of single weights; squared and joint it is taylor_2019"
NEEDS = "data"


def score(weights: Mapping[str, Tensor], context: Context) -> dict[str, Tensor]:
    """|w|·E|∂ℓ/∂w| over the sample's examples: of each example's own loss ℓ, so that signs do not cancel.

    (At a trained model the gradient of the mean loss is nearly zero, and its sign chance: see ``snip``.)
    """
    slopes = _gradients.mean_over_examples(weights, context, lambda gradient: gradient.abs())
    return {name: weight.detach().abs() * slopes[name] for name, weight in weights.items()}
