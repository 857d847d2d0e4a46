"""Wanda: |w|·‖x‖, the size of a weight times the size of what it is multiplied with."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pruning.criteria import Context, _inputs

SOURCE = "Sun et al. 2024, arXiv:2306.11695"
NEEDS = "data"


def score(weights: Mapping[str, Tensor], context: Context) -> dict[str, Tensor]:
    """|w|·‖x‖₂: the norm of the inputs that meet the weight, over all positions, per root example.

    In a convolution each weight meets other inputs: those under its place in the kernel. Wanda compares
    within a row; allocation ``row`` does that.
    """
    assert context.sample is not None
    totals: dict[str, Tensor] = {}

    def look(name: str, layer: nn.Module, x: Tensor) -> None:
        found = _sum_of_squares(layer, x)
        totals[name] = totals[name] + found if name in totals else found

    _inputs.watch(weights, context, look)
    count = len(context.sample.x)
    scores = {}
    for name, weight in weights.items():
        norms = (totals[name] / count).sqrt()
        scores[name] = weight.detach().abs() * norms.repeat_interleave(len(weight) // len(norms), dim=0)
    return scores


def _sum_of_squares(layer: nn.Module, x: Tensor) -> Tensor:
    """Per group a row of the weight's shape: the summed squares of the inputs that meet each weight.

    They are the gradient of the layer's summed output by its weight, with squared inputs. float64.
    """
    weight = layer.get_parameter("weight")
    groups = getattr(layer, "groups", 1)
    assert isinstance(groups, int)
    row = torch.zeros((groups, *weight.shape[1:]), dtype=x.dtype, device=x.device, requires_grad=True)
    with torch.enable_grad():
        if isinstance(layer, nn.modules.conv._ConvNd):
            out = layer._conv_forward(x.square(), row, None)
        else:
            out = F.linear(x.square(), row)
        return torch.autograd.grad(out.sum(), row)[0].double()
