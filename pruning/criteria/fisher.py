"""Optimal Brain Damage with the empirical Fisher diagonal: ½·w²·E[(∂ℓ/∂w)²]."""

from collections.abc import Mapping

from torch import Tensor

from pruning.criteria import Context, _gradients

SOURCE = "LeCun et al. 1990 (Optimal Brain Damage); Theis et al. 2018, arXiv:1801.05787 (empirical Fisher)"
NEEDS = "data"


def score(weights: Mapping[str, Tensor], context: Context) -> dict[str, Tensor]:
    """½·w²·F, F the mean over examples of the squared gradient of each example's own loss ℓ.

    F stands for the Hessian's diagonal, which it equals in expectation at the data's own distribution.
    """
    curvature = _gradients.mean_over_examples(weights, context, lambda gradient: gradient.double().square())
    return {name: weight.detach().double().square() * curvature[name] / 2 for name, weight in weights.items()}
