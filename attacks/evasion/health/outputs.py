"""Signs in the outputs: they are random, hang on the batch, or are no logits."""

import torch
from torch import Tensor, nn

from attacks._model import checked
from attacks.evasion._scale import probabilities
from attacks.evasion.health._evidence import Evidence
from attacks.evasion.health._flag import Flag

PASSES = 4
ROUNDING = 1e-4
"""Difference of two passes that rounding on parallel hardware explains, relative to the largest logit."""
UNITS = 4
"""Of the last place, which rounding may move in floating types coarser than float32."""


def randomised(evidence: Evidence) -> Flag:
    """The same batch gives different outputs (Croce et al. 2020: AutoAttack's own check).

    Gradients of one draw do not point where the next draw looks, and a single check is luck. Any example is
    too many: a model that draws random numbers does so for all of them.
    """
    hits = _moved(evidence.batch.model, evidence.batch.x)
    return Flag("randomised", 0.0, hits, "the logits differ between passes of the same input.")


@torch.no_grad()
def batch_dependent(evidence: Evidence) -> Flag:
    """An input's outputs change with the inputs beside it: statistics of the batch in the forward pass.

    An attack then moves its neighbours' outputs too, and what holds for the batch holds for no input alone.
    Every second input alone is held against all together; in float64 where the model can, so that kernels
    which round otherwise for other sizes are not mistaken for it.
    """
    name, batch = "batch_dependent", evidence.batch
    if evidence.size < 2:
        return Flag(name, 0.0, None, "there is one example only: it has no neighbours.")
    model = evidence.double or batch.model
    x = batch.x if len(batch) > 1 else torch.cat((batch.x, evidence.beside))
    x = x.to(torch.float64) if evidence.double is not None else x
    if bool(_moved(model, x).any()):
        return Flag(name, 0.0, None, "the outputs are random: how they depend on the batch cannot be told.")
    together = checked(model(x))
    apart = torch.empty_like(together)
    for half in (slice(0, None, 2), slice(1, None, 2)):
        apart[half] = checked(model(x[half]))
    hits = ((apart - together).abs().amax(dim=1) > rounding(model, together))[: len(batch)]
    return Flag(name, 0.0, hits, "the logits differ with the other inputs of the batch.")


@torch.no_grad()
def _moved(model: nn.Module, x: Tensor) -> Tensor:
    """Whether passes of the same batch differ in each example, (N,)."""
    first = checked(model(x))
    moved = torch.zeros_like(first[:, 0])
    for _ in range(PASSES):
        moved = torch.maximum(moved, (checked(model(x)) - first).abs().amax(dim=1))
    return moved > rounding(model, first)


def rounding(model: nn.Module, logits: Tensor, least: float = ROUNDING) -> Tensor:
    """What rounding alone may change of each example's logits, (N,); at least that share of the largest."""
    kinds = {p.dtype for p in model.parameters() if p.is_floating_point()} | {logits.dtype}
    share = max(least, *(UNITS * torch.finfo(kind).eps for kind in kinds))
    return share * logits.abs().amax(dim=1).clamp(min=1e-6)


def softmax_outputs(evidence: Evidence) -> Flag:
    """The outputs are probabilities (AutoAttack's own check): gradients fade where the model is sure."""
    hits = probabilities(evidence.batch.logits)
    return Flag(
        "softmax_outputs", 0.0, hits,
        "the outputs lie in [0, 1] and sum to 1: probabilities, not logits.",
    )  # fmt: skip
