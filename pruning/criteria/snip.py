"""SNIP's connection sensitivity: |w·∂L/∂w| of the mean loss, as a share of the whole network's."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pruning.criteria import Context, _gradients

SOURCE = "Lee et al. 2019, arXiv:1810.02340"
NEEDS = "data"


def score(weights: Mapping[str, Tensor], context: Context) -> dict[str, Tensor]:
    """|w·∂L/∂w| / Σ, with L the mean loss over the sample; zero everywhere if the gradient is.

    SNIP was made for untrained networks; here it judges the model as it is given.
    """
    slopes = _gradients.mean(weights, context)
    scores = {name: (weight.detach() * slopes[name]).abs() for name, weight in weights.items()}
    total = torch.stack([score.sum() for score in scores.values()]).sum()
    return {name: score / total for name, score in scores.items()} if total > 0 else scores
