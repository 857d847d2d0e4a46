"""SynFlow: how much of the flow through the network of absolute weights passes a weight; needs no data."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pruning.criteria import Context
from pruning.errors import PruningError

SOURCE = "Tanaka et al. 2020, arXiv:2006.05467"
NEEDS = "model"
BY_GRANULARITY = True

ROUNDS = 100
DENSITY = 1e-3
"""What the last round leaves: each round takes the same share of what is left, 7%."""

_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.instancenorm._InstanceNorm, nn.LocalResponseNorm)
_ACTIVATIONS = (
    nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU,
    nn.LogSigmoid, nn.Mish, nn.PReLU, nn.ReLU, nn.ReLU6, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus,
    nn.Softshrink, nn.Softsign, nn.Tanh, nn.Tanhshrink, nn.Threshold,
)  # fmt: skip


def score(weights: Mapping[str, Tensor], context: Context) -> dict[str, Tensor]:
    """For single weights the round in which each goes, then its flow in that round; for units the flow now.

    Scored anew after each round, no layer loses all its flow; in one round it may. The rounds do not depend
    on the sparsity that is wanted: a sweep is scored once, and its masks nest. Raises PruningError where
    nothing flows, as behind a saturated activation.
    """
    model = _linear(context.model)
    x = torch.ones_like(context.example_input[:1], dtype=torch.float64)
    now = flow(model, weights, x)
    if not any(score.any() for score in now.values()):
        raise PruningError("synflow: nothing flows through the network of absolute weights")
    if context.granularity == "unit":
        return now
    total = sum(weight.numel() for weight in weights.values())
    alive = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()}
    scores = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for step in range(1, ROUNDS + 1):
        going = sum(int(kept.sum()) for kept in alive.values()) - round(total * DENSITY ** (step / ROUNDS))
        if going > 0:
            _take(going, step, now, alive, scores)
            with torch.no_grad():
                for name, weight in weights.items():
                    weight.masked_fill_(~alive[name], 0)
            now = flow(model, weights, x)
    most = max(float(score.max()) for score in now.values()) or 1.0
    return {name: torch.where(alive[name], ROUNDS + 1 + now[name] / most, scores[name]) for name in weights}


def flow(model: nn.Module, weights: Mapping[str, Tensor], x: Tensor) -> dict[str, Tensor]:
    """|w|·∂R/∂|w|, R the summed outputs: every path from input to output counts with its product of weights.

    ``model``: linear, with weights that are not negative. Raises PruningError if R is not finite.
    """
    with torch.enable_grad():
        through = model(x).sum()
        slopes = torch.autograd.grad(through, list(weights.values()), materialize_grads=True)
    if not torch.isfinite(through):
        raise PruningError("synflow: the flow through the network of absolute weights is not finite")
    return {
        name: weight.detach() * slope for (name, weight), slope in zip(weights.items(), slopes, strict=True)
    }


def _take(
    going: int, step: int, now: Mapping[str, Tensor], alive: dict[str, Tensor], scores: dict[str, Tensor]
) -> None:
    """Let the weights of least flow go in this round, each layer's best left out."""
    spared = {}
    for name, score in now.items():
        best = torch.where(alive[name], score, -1.0).flatten().argmax()
        spared[name] = torch.where(alive[name], score, torch.inf)
        spared[name].view(-1)[best] = torch.inf
    flat = torch.cat([score.flatten() for score in spared.values()])
    threshold = flat.kthvalue(going).values
    if torch.isinf(threshold):  # one weight a layer is left
        return
    for name, score in spared.items():
        gone = score <= threshold
        scores[name][gone] = step + (score[gone] / threshold if threshold > 0 else 0.0) / 2
        alive[name] &= ~gone


def _linear(model: nn.Module) -> nn.Module:
    """The network of absolute values, in float64 and in place: no biases, norms' shifts or activations."""
    model.double()
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if name.endswith(("bias", "running_mean")):
                tensor.zero_()
            elif isinstance(tensor, nn.Parameter):
                tensor.abs_()
    for module in model.modules():
        if isinstance(module, (*_ACTIVATIONS, *_NORMS)):
            module.register_forward_hook(_pass)
    return model


def _pass(_module: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> Tensor:
    return inputs[0]
