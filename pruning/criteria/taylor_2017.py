"""Taylor expansion in activations: E|Σ a·∂ℓ/∂a| of a feature map, as a share of its layer's length."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pruning import coupling, prunable
from pruning.coupling import Member, UnitGroup
from pruning.criteria import Context, _groups, _inputs

SOURCE = "Molchanov et al. 2017, arXiv:1611.06440, equation 8, with its layer-wise l2 normalisation"
NEEDS = "data"
UNITS_ONLY = True


def score(weights: Mapping[str, Tensor], context: Context) -> dict[str, Tensor]:
    """Of each unit, under its root's weight, the mean over examples of |Σ a·∂ℓ/∂a|, over ‖·‖₂ of its group.

    a is what the next layers read of the unit, at all positions: its feature map behind activation and
    pooling, which leaves the sum as it is. Where several layers read it, their sums add up: the change of the
    loss to first order when the unit becomes zero.
    """
    every = coupling.find(context.model, context.example_input)
    roots = {group.root: prunable.weight_name(group.root, weights) for group in every}
    groups = [group for group in every if roots[group.root] in weights]  # the others are excluded
    called = prunable.layers(context.model)
    layers = {called[m.layer]: m.layer for g in groups for m in g.members if m.layer in called}
    totals = [torch.zeros(group.size, dtype=torch.float64) for group in groups]
    assert context.sample is not None
    for x, y in context.sample.batches():
        slopes = _slopes(context.model, layers, x, y, context)
        _inputs.refuse(
            [g.root for g in groups if not any(_reads(m) and m.layer in slopes for m in g.members)]
        )
        for group, total in zip(groups, totals, strict=True):
            change = torch.zeros(len(x), group.size, dtype=torch.float64)
            for member in group.members:
                if _reads(member) and member.layer in slopes:
                    change.index_add_(1, member.units, slopes[member.layer][:, member.indices])
            total += change.abs().sum(0)
    return {
        roots[group.root]: total / (float(total.norm()) or 1.0)
        for group, total in zip(groups, totals, strict=True)
    }


def importance(groups: Sequence[UnitGroup], scores: Mapping[str, Tensor]) -> list[Tensor]:
    """The scores: they are of units."""
    return _groups.by_root(groups, scores)


def _reads(member: Member) -> bool:
    return member.direction == "in"


def _slopes(
    model: nn.Module, layers: Mapping[nn.Module, str], x: Tensor, y: Tensor, context: Context
) -> dict[str, Tensor]:
    """By layer (N, columns): what each column of its input adds to Σ a·∂ℓ/∂a, positions and calls summed."""
    read: list[tuple[str, bool, Tensor]] = []

    def apart(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The layer reads a copy, so that the slope is by what this layer alone reads."""
        own = inputs[0].clone() if inputs[0].requires_grad else inputs[0].clone().requires_grad_()
        read.append((layers[layer], isinstance(layer, _inputs.CONVOLUTIONS), own))
        return (own, *inputs[1:])

    assert context.sample is not None
    hooks = [layer.register_forward_pre_hook(apart) for layer in layers]
    try:
        with torch.enable_grad():
            loss = context.sample.loss(model(x), y).sum()
            found = torch.autograd.grad(loss, [a for *_, a in read], materialize_grads=True)
    finally:
        for hook in hooks:
            hook.remove()
    slopes: dict[str, Tensor] = {}
    for (name, convolution, a), slope in zip(read, found, strict=True):
        product = (a.detach() * slope).double().cpu().movedim(1 if convolution else -1, 1)
        change = product.reshape(*product.shape[:2], -1).sum(2)
        slopes[name] = slopes[name] + change if name in slopes else change
    return slopes
