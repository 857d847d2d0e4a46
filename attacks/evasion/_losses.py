"""What an attacker climbs. Each loss gives its gradient with respect to the logits, so that one forward and
one backward pass yield the logits, every example's loss and the input gradient."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from attacks._model import checked
from attacks.evasion._passes import laid_out, pieces

TIED = 1e-12
"""Added to the divisor of the difference of logits ratio, as in the reference AutoAttack: the largest logits
may be equal."""

Loss = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(logits (N, C), targets) → each example's loss (N,), and its gradient with respect to the logits (N, C).
Targets are labels (N,), or (N, 2) labels and the classes that the attacker wants."""


def odds(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """L = log Σ_{j≠y} exp z_j − z_y: the log-odds of being wrong.

    Cross-entropy is log(1 + exp L), a rising function of L, so both rank inputs alike and have the same
    direction of steepest ascent; but L's gradient does not fade where the softmax saturates in float32 (a
    confident net would otherwise look robust because its gradients underflow).
    """
    label = y.unsqueeze(1)
    others = logits.scatter(1, label, -torch.inf)
    top = others.amax(dim=1, keepdim=True)
    shares = (others - top).exp_()
    total = shares.sum(dim=1, keepdim=True)
    loss = (total.log() + top - logits.gather(1, label)).squeeze(1)
    return loss, (shares / total).scatter_(1, label, -1.0)


def gap(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """L = max_{j≠y} z_j − z_y (Carlini & Wagner 2017): above zero where the label has lost."""
    label = y.unsqueeze(1)
    rival = logits.scatter(1, label, -torch.inf).argmax(dim=1, keepdim=True)
    weights = torch.zeros_like(logits).scatter_(1, rival, 1.0).scatter_(1, label, -1.0)
    return -margin(logits, y), weights


def lead(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """L = z_t − z_y. ``targets``: (N, 2), label y and target t."""
    label, target = targets[:, :1], targets[:, 1:]
    weights = torch.zeros_like(logits).scatter_(1, target, 1.0).scatter_(1, label, -1.0)
    return (logits.gather(1, target) - logits.gather(1, label)).squeeze(1), weights


def dlr_targeted(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """L = (z_t − z_y) / (z_(1) − (z_(3) + z_(4)) / 2), z_(k) the k-th largest (Croce & Hein 2020, eq. 7).

    The difference of logits ratio: no scale or shift of the logits changes it. ``targets``: (N, 2), label y
    and target t. With two or three classes no such divisor is left (z_(1) − z_(3) would be |z_t − z_y| itself
    where t is the least likely, and L constant): L is z_t − z_y then.
    """
    rise, direction = lead(logits, targets)
    if logits.shape[1] < 4:
        return rise, direction
    top, places = logits.topk(4, dim=1)
    least = max(TIED, torch.finfo(logits.dtype).tiny)
    spread = top[:, :1] - top[:, 2:].mean(dim=1, keepdim=True) + least
    spread_direction = (
        torch.zeros_like(logits).scatter_(1, places[:, :1], 1.0).scatter_(1, places[:, 2:], -0.5)
    )
    loss = rise.unsqueeze(1) / spread
    weights = (direction - loss * spread_direction) / spread
    return loss.squeeze(1), weights.nan_to_num()  # float16 has no room for what a tie is divided by


def climb(model: nn.Module, x: Tensor, y: Tensor, loss: Loss = odds) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (N, C), losses (N,) and their input gradient (N, …), from one forward and one backward pass.

    The gradient is zero where autograd cannot follow the outputs back to the inputs, and in each entry where
    it is not a number. Raises NotFiniteError if a logit is NaN or infinite.
    """
    some = pieces(x)
    if len(some) == 1:
        return _climb(model, x, y, loss)
    parts = zip(some, torch.split(y, len(some[0])), strict=True)
    logits, values, gradients = zip(*(_climb(model, *part, loss) for part in parts), strict=True)
    return torch.cat(logits), torch.cat(values), torch.cat(gradients)


def _climb(model: nn.Module, x: Tensor, y: Tensor, loss: Loss) -> tuple[Tensor, Tensor, Tensor]:
    logits, values, gradient = raw_gradient(model, laid_out(x), y, loss)
    if not math.isfinite(float(gradient.sum())):
        gradient = gradient.nan_to_num(nan=0.0)
    return logits, values, gradient


def raw_gradient(model: nn.Module, x: Tensor, y: Tensor, loss: Loss = odds) -> tuple[Tensor, Tensor, Tensor]:
    """As :func:`climb`, all examples in one piece and the gradient as autograd gives it, NaN and all."""
    x = x.detach().requires_grad_()
    outputs = _traced(model, x)
    logits = checked(outputs.detach())
    values, weights = loss(logits, y)
    return logits, values, _pulled_back(outputs, x, weights)


def _traced(model: nn.Module, x: Tensor) -> Tensor:
    """The outputs with their graph; without one, if the model only runs so (NumPy refuses a graph)."""
    try:
        with torch.enable_grad():
            outputs: Tensor = model(x)
    except torch.OutOfMemoryError:
        raise
    except Exception:  # what a foreign model raises; an error of its own it raises again
        with torch.no_grad():
            outputs = model(x.detach())
    return outputs


def _pulled_back(outputs: Tensor, x: Tensor, weights: Tensor) -> Tensor:
    """The gradient at ``x``; zero if an operation on the way has none (``x // 1``)."""
    if not outputs.requires_grad:
        return torch.zeros_like(x)
    try:
        (gradient,) = torch.autograd.grad(outputs, x, grad_outputs=weights, allow_unused=True)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:  # "derivative for … is not implemented"; health flags gradients of zero
        gradient = None
    return torch.zeros_like(x) if gradient is None else gradient.detach()


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """z_y − max_{j≠y} z_j, (N,): negative where the label has lost."""
    label = y.unsqueeze(1)
    return logits.gather(1, label).squeeze(1) - logits.scatter(1, label, -torch.inf).amax(dim=1)
