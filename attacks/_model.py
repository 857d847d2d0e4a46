"""Runs the model under attack: in batches, without gradients, and loud where its outputs are not numbers."""

import math

import torch
from torch import Tensor, nn

from attacks.probe import Examples, Target


class NotFiniteError(ArithmeticError):
    """The model returned NaN or infinite logits: no figure can be taken from it."""


def checked(logits: Tensor) -> Tensor:
    """The logits, if they are (N, C) and finite; else raises ValueError or NotFiniteError."""
    if not isinstance(logits, Tensor):
        raise ValueError(f"the model must return logits (N, classes), not a {type(logits).__name__}")
    if logits.ndim != 2:
        raise ValueError(
            f"the model must return logits (N, classes), not a tensor of shape {tuple(logits.shape)}"
        )
    if not math.isfinite(float(logits.sum())) and not bool(torch.isfinite(logits).all()):
        bad = int((~torch.isfinite(logits).all(dim=1)).sum())
        raise NotFiniteError(f"the model returns NaN or infinite logits for {bad} of {len(logits)} examples")
    return logits


@torch.no_grad()
def logits_of(model: nn.Module, x: Tensor, *, batch_size: int, device: torch.device) -> Tensor:
    """Logits (N, C), float32, on the CPU. ``x``: (N, …), N at least 1."""
    return torch.cat([checked(model(part.to(device))).float().cpu() for part in torch.split(x, batch_size)])


def target_logits(target: Target, examples: Examples) -> Tensor:
    """The target's logits (N, classes) on examples; raises ValueError if the class count does not match."""
    logits = logits_of(target.model, examples.x, batch_size=target.batch_size, device=target.device)
    return matched(logits, target)


def matched(logits: Tensor, target: Target) -> Tensor:
    """The logits, if there is one for each of the target's classes; else raises ValueError."""
    if logits.shape[1] != target.num_classes:
        raise ValueError(f"the model returns {logits.shape[1]} logits for {target.num_classes} classes")
    return logits
