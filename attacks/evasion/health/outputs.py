"""Signs in the outputs: they are random, or they are no logits."""

import torch

from attacks._model import checked
from attacks.evasion.health._evidence import Evidence
from attacks.evasion.health._flag import Flag, counted

PASSES = 4
ROUNDING = 1e-4
"""Difference of two passes that rounding on parallel hardware explains, relative to the largest logit."""
SUM = 1e-3


@torch.no_grad()
def randomised(evidence: Evidence) -> Flag:
    """The same input gives different outputs (Croce et al. 2020: AutoAttack's own check).

    Gradients of one draw do not point where the next draw looks, and a single check is luck. Any example is
    too many: a model that draws random numbers does so for all of them.
    """
    batch = evidence.batch
    moved = torch.zeros_like(batch.margin)
    for _ in range(PASSES):
        again = checked(batch.model(batch.x))
        moved = torch.maximum(moved, (again - batch.logits).abs().amax(dim=1))
    allowed = ROUNDING * batch.logits.abs().amax(dim=1).clamp(min=1e-6)
    hits = moved > allowed
    return Flag("randomised", 0.0, hits, counted(hits, "the logits differ between passes of the same input."))


def softmax_outputs(evidence: Evidence) -> Flag:
    """The outputs are probabilities (AutoAttack's own check): gradients fade where the model is sure."""
    logits = evidence.batch.logits
    hits = (logits >= 0).all(dim=1) & ((logits.double().sum(dim=1) - 1).abs() < SUM)
    return Flag(
        "softmax_outputs", 0.0, hits,
        counted(hits, "the outputs lie in [0, 1] and sum to 1: probabilities, not logits."),
    )  # fmt: skip
