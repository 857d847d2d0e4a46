"""What an attacker climbs. Each loss gives its gradient with respect to the logits, so that one forward and
one backward pass yield the logits, every example's loss and the input gradient."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from attacks._model import checked

Loss = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(logits (N, C), labels (N,)) → each example's loss (N,), and its gradient with respect to the logits."""


def odds(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """L = log Σ_{j≠y} exp z_j − z_y: the log-odds of being wrong.

    Cross-entropy is log(1 + exp L), a rising function of L, so both rank inputs alike and have the same
    direction of steepest ascent; but L's gradient does not fade where the softmax saturates in float32 (a
    confident net would otherwise look robust because its gradients underflow).
    """
    label = y.unsqueeze(1)
    others = logits.scatter(1, label, -torch.inf)
    loss = others.logsumexp(dim=1) - logits.gather(1, label).squeeze(1)
    return loss, others.softmax(dim=1).scatter_(1, label, -1.0)


def climb(model: nn.Module, x: Tensor, y: Tensor, loss: Loss = odds) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (N, C), losses (N,) and their input gradient (N, …), from one forward and one backward pass.

    The gradient is zero where the model's outputs do not depend on the inputs in a way that autograd can
    follow. Raises NotFiniteError if a logit is NaN or infinite.
    """
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        outputs = model(x)
    logits = checked(outputs.detach())
    values, weights = loss(logits, y)
    if not outputs.requires_grad:
        return logits, values, torch.zeros_like(x)
    (gradient,) = torch.autograd.grad(outputs, x, grad_outputs=weights, allow_unused=True)
    return logits, values, torch.zeros_like(x) if gradient is None else gradient


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """z_y − max_{j≠y} z_j, (N,): negative where the label has lost."""
    label = y.unsqueeze(1)
    return logits.gather(1, label).squeeze(1) - logits.scatter(1, label, -torch.inf).amax(dim=1)
