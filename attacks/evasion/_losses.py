"""What an attacker climbs."""

import torch
from torch import Tensor, nn

from attacks._model import checked


def odds_weights(logits: Tensor, y: Tensor) -> Tensor:
    """Gradient of L = log Σ_{j≠y} exp z_j − z_y with respect to the logits z, (N, C).

    Cross-entropy is log(1 + exp L), a rising function of L, so both have the same direction of steepest
    ascent; but L's gradient does not fade where the softmax saturates in float32 (a confident net would
    otherwise look robust because its gradients underflow).
    """
    label = y.unsqueeze(1)
    return logits.scatter(1, label, -torch.inf).softmax(dim=1).scatter(1, label, -1.0)


def climb(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (N, C) and the input gradient of each example's L, from one forward and one backward pass.

    Raises NotFiniteError if a logit is NaN or infinite.
    """
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        logits = model(x)
    checked(logits.detach())
    (gradient,) = torch.autograd.grad(logits, x, grad_outputs=odds_weights(logits.detach(), y))
    return logits.detach(), gradient


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """z_y − max_{j≠y} z_j, (N,): negative where the label has lost."""
    label = y.unsqueeze(1)
    return logits.gather(1, label).squeeze(1) - logits.scatter(1, label, -torch.inf).amax(dim=1)
