"""Taylor expansion in weights, squared: E[(w·∂ℓ/∂w)²]; of a unit E[(Σ w·∂ℓ/∂w)²], its weights together."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pruning import coupling, prunable
from pruning.coupling import UnitGroup
from pruning.criteria import Context, _gradients, _groups

SOURCE = "Molchanov et al. 2019, arXiv:1906.10771 (first order; a group's weights jointly)"
NEEDS = "data"
BY_GRANULARITY = True


def score(weights: Mapping[str, Tensor], context: Context) -> dict[str, Tensor]:
    """Per example ℓ, so that no batch size changes it; of units under their root's weight.

    Of single weights it is twice ``fisher``, and ranks as that does.
    """
    if context.granularity == "weight":
        squares = _gradients.mean_over_examples(weights, context, lambda gradient: gradient.double().square())
        return {name: weight.detach().double().square() * squares[name] for name, weight in weights.items()}
    groups = coupling.find(context.model, context.example_input)
    every = prunable.weights(context.model)
    totals = [torch.zeros(group.size, dtype=torch.float64) for group in groups]
    for gradients in _gradients.of_each(every, context):
        slopes = dict(zip(every, gradients, strict=True))
        for group, total in zip(groups, totals, strict=True):
            change = torch.zeros_like(total)
            for member in group.members:
                if member.direction == "out":
                    name = prunable.weight_name(member.layer, every)
                    rows = (every[name].detach() * slopes[name]).double().flatten(1).sum(1).cpu()
                    change.index_add_(0, member.units, rows[member.indices])
            total += change.square()
    assert context.sample is not None
    n = len(context.sample.x)
    return {prunable.weight_name(g.root, every): total / n for g, total in zip(groups, totals, strict=True)}


def importance(groups: Sequence[UnitGroup], scores: Mapping[str, Tensor]) -> list[Tensor]:
    """The scores: they are of units."""
    return _groups.by_root(groups, scores)
