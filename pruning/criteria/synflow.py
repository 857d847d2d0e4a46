"""SynFlow: how much of the flow through the network of absolute weights passes a weight; needs no data."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pruning.allocation import kth
from pruning.criteria import Context
from pruning.criteria._linear import Linear
from pruning.errors import PruningError

SOURCE = "Tanaka et al. 2020, arXiv:2006.05467"
NEEDS = "model"
BY_GRANULARITY = True

ROUNDS = 100
DENSITY = 1e-3
"""What the last round leaves: each round takes the same share of what is left, 7%."""

_SINGLE = 1e50
"""Flow that single precision can carry: half of its exponents before a layer, half behind it."""


def score(weights: Mapping[str, Tensor], context: Context) -> dict[str, Tensor]:
    """For single weights the round in which each goes, then its flow in that round; for units the flow now.

    Scored anew after each round, no layer loses all its flow; in one round it may. The rounds do not depend
    on the sparsity that is wanted: a sweep is scored once, and its masks nest. Raises PruningError where no
    flow reaches most of the weights, as behind an operation that is not linear and not known as such.
    """
    model = _absolute(context.model, weights)
    x = torch.ones_like(context.example_input[:1], dtype=torch.float64)
    _check_most_flows(model, weights, x)
    now, through = flow(model, weights, x)
    if not any(score.any() for score in now.values()):
        empty = [name for name, parameter in model.named_parameters() if not parameter.any()]
        weightless = ", ".join(name for name in empty if not name.endswith("bias"))
        raise PruningError(f"synflow: nothing flows through the network; these are all zero: {weightless}")
    if context.granularity == "unit":
        return now
    if x.device.type == "cpu" and 1 / _SINGLE < through < _SINGLE:  # accelerators round products coarsely
        model.float()
        x = x.float()
        for name in now:
            now[name] = (now[name] / through).float()
    alive = {n: torch.arange(w.numel(), device=w.device, dtype=torch.int32) for n, w in weights.items()}
    flows = {name: now.pop(name).flatten() for name in weights}
    scores = {name: torch.zeros_like(score, dtype=torch.float64) for name, score in flows.items()}
    total = sum(map(len, alive.values()))
    for step in range(1, ROUNDS + 1):
        going = sum(map(len, alive.values())) - round(total * DENSITY ** (step / ROUNDS))
        if going > 0:
            _take(going, step, weights, flows, alive, scores)
            flows.clear()  # a large net's are half a gigabyte
            flows, through = flow(model, weights, x, through, alive)
    most = max(float(score.max()) for score in flows.values()) or 1.0
    for name, left in alive.items():
        scores[name][left] = ROUNDS + 1 + flows[name].double() / most
    return {name: scores[name].reshape(weight.shape) for name, weight in weights.items()}


def flow(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    x: Tensor,
    about: float = 1.0,
    places: Mapping[str, Tensor] | None = None,
) -> tuple[dict[str, Tensor], float]:
    """|w|·∂R/∂|w|, R the summed outputs: every path from input to output counts with its product of weights.

    ``model``: without negative weights. ``about``: R's order of magnitude, by which all is divided, half of
    it before the network and half behind, so that neither end overflows. ``places``: of each weight only
    these elements, in a row. Also returns R itself. Raises PruningError, which names a layer, if the flow is
    not finite.
    """
    scale = about**-0.5 if about > 0 else 1.0
    with torch.enable_grad(), Linear():
        through = model(x * scale).sum() * scale
    slopes = torch.autograd.grad(through, list(weights.values()), materialize_grads=True)
    found = {}
    for (name, weight), slope in zip(weights.items(), slopes, strict=True):
        with torch.no_grad():
            factor: Tensor = weight
            if places is not None:
                slope, factor = (t.flatten().index_select(0, places[name]) for t in (slope, weight))
            found[name] = slope.mul_(factor).abs_()  # in place: there may be gigabytes
        if not torch.isfinite(found[name].max()):
            raise PruningError(
                f"synflow: the flow of absolute weights through {name.removesuffix('.weight')} is not "
                "finite: choose another criterion"
            )
    return found, float(through.detach()) * about


def _check_most_flows(model: nn.Module, weights: Mapping[str, Tensor], x: Tensor) -> None:
    """Raises PruningError if most weights have no flow for another reason than weights that are zero."""
    zeros = {name: weight.detach() == 0 for name, weight in weights.items()}
    with torch.no_grad():
        for name, weight in weights.items():
            weight.masked_fill_(zeros[name], float(weight.mean()) or 1.0)
    flows, _ = flow(model, weights, x)
    with torch.no_grad():
        for name, weight in weights.items():
            weight.masked_fill_(zeros[name], 0.0)
    dry = {name: int((score == 0).sum()) for name, score in flows.items()}
    if 2 * sum(dry.values()) > sum(score.numel() for score in flows.values()):
        layers = [
            name.removesuffix(".weight") for name, count in dry.items() if 2 * count > flows[name].numel()
        ]
        named = ", ".join(layers[:5]) + (f" and {len(layers) - 5} more" if len(layers) > 5 else "")
        raise PruningError(
            f"synflow: nothing flows through most weights of {named} in the network of absolute weights: "
            "choose another criterion"
        )


def _take(
    going: int,
    step: int,
    weights: Mapping[str, Tensor],
    flows: dict[str, Tensor],
    alive: dict[str, Tensor],
    scores: Mapping[str, Tensor],
) -> None:
    """Let the weights of least flow go in this round, each layer's best left out.

    ``flows``: of the weights at the places ``alive`` only, so that later rounds cost less.
    """
    best = {name: score.max(0) for name, score in flows.items()}
    for name, (_, place) in best.items():
        flows[name][place] = torch.inf
    threshold = kth(torch.cat(list(flows.values())), going, spoil=True)
    for name, (value, place) in best.items():
        score = flows[name]
        below = score <= threshold
        score[place], below[place] = value, False
        gone = below.nonzero().flatten()
        places = alive[name].index_select(0, gone)
        scores[name][places] = step + (score[gone].double() / threshold if threshold > 0 else 0.0) / 2
        with torch.no_grad():
            weights[name].view(-1)[places] = 0
        alive[name] = alive[name].index_select(0, below.logical_not_().nonzero().flatten())


def _absolute(model: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    """The network of absolute values, in float64 and in place: no biases and no norms' shifts."""
    model.double().requires_grad_(False)
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if name.endswith(("bias", "running_mean")):
                tensor.zero_()
            elif isinstance(tensor, nn.Parameter):
                tensor.abs_()
    for weight in weights.values():
        weight.requires_grad_(True)
    return model
