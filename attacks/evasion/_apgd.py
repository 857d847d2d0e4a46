"""Auto-PGD: ascent with momentum that chooses its own step length (Croce & Hein 2020, algorithm 1)."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from attacks.evasion._attack import Batch
from attacks.evasion._balls import column
from attacks.evasion._losses import Loss, climb
from attacks.evasion._passes import picked, predict

MOMENTUM = 0.25
"""Share of the previous move in the next."""
RISING = 0.75
"""The step is halved where fewer of the steps since the last checkpoint raised the loss."""


@dataclass(slots=True)
class _Climber:
    """The state of every example still standing, all (n, …)."""

    place: Tensor
    """Positions in the batch."""
    x: Tensor
    y: Tensor
    targets: Tensor
    eps: Tensor
    point: Tensor
    before: Tensor
    """The point before."""
    gradient: Tensor
    loss: Tensor
    best: Tensor
    best_gradient: Tensor
    best_loss: Tensor
    length: Tensor
    """Of a step."""
    rises: Tensor
    """Steps since the last checkpoint that raised the loss."""
    checked_loss: Tensor
    """The best loss at the last checkpoint."""
    halved: Tensor
    """Whether the step was halved there."""

    def keep(self, places: Tensor) -> "_Climber":
        """Those examples only."""
        return _Climber(**{field.name: picked(getattr(self, field.name), places) for field in fields(self)})


def ascend(batch: Batch, start: Tensor, loss: Loss, targets: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Climb ``loss`` from ``start``: (candidates (N, …), whether each fools the model, bool (N,)).

    ``targets``, (N,) or (N, 2), are what the loss is given. Every iterate is tested, and an example that is
    broken takes no further step.
    """
    result, fooled = start.clone(), torch.zeros(len(batch), dtype=torch.bool, device=start.device)
    state = _begin(batch, start, targets)
    marks = checkpoints(steps)
    for step in range(steps + 1):
        logits, value, gradient = _evaluated(batch, state, loss, last=step == steps)
        standing = logits.argmax(dim=1) == state.y
        if not bool(standing.all()):
            gone, kept = (torch.nonzero(some).squeeze(1) for some in (~standing, standing))
            result[state.place[gone]], fooled[state.place[gone]] = picked(state.point, gone), True
            state, value, gradient = state.keep(kept), value[kept], picked(gradient, kept)
        if step == steps or len(state.place) == 0:
            break
        _note(state, value, gradient)
        if step in marks:
            _decide(state, marks[step])
        _move(batch, state, 1 - MOMENTUM if step else 1.0)
    result[state.place] = state.point
    return result, fooled


def checkpoints(steps: int) -> dict[int, int]:
    """Step → steps since the checkpoint before: after 22% of all steps, then ever closer, 3% at a time, down
    to 6%."""
    marks, at, period = {}, 0, max(int(0.22 * steps), 1)
    while at + period <= steps:
        at += period
        marks[at] = period
        period = max(period - max(int(0.03 * steps), 1), max(int(0.06 * steps), 1))
    return marks


def _begin(batch: Batch, start: Tensor, targets: Tensor) -> _Climber:
    n, device = len(batch), start.device
    least = torch.full((n,), -torch.inf, device=device, dtype=start.dtype)
    return _Climber(
        place=torch.arange(n, device=device), x=batch.x, y=batch.y, targets=targets, eps=batch.eps,
        point=start, before=start, gradient=start, loss=least,
        best=start, best_gradient=start, best_loss=least, length=2 * batch.eps,
        rises=torch.zeros(n, dtype=torch.int64, device=device), checked_loss=least,
        halved=torch.ones(n, dtype=torch.bool, device=device),
    )  # fmt: skip


def _evaluated(batch: Batch, state: _Climber, loss: Loss, *, last: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, losses and gradients at the points; the last point is only tested."""
    if not last:
        return climb(batch.model, state.point, state.targets, loss)
    return predict(batch.model, state.point), state.loss, state.gradient


def _note(state: _Climber, value: Tensor, gradient: Tensor) -> None:
    """Take down what the model said of the points."""
    value = value.to(state.loss)
    state.rises = state.rises + (value > state.loss)
    better = value > state.best_loss
    wide = column(better, gradient)
    state.best = torch.where(wide, state.point, state.best)
    state.best_gradient = torch.where(wide, gradient, state.best_gradient)
    state.best_loss = torch.where(better, value, state.best_loss)
    state.loss, state.gradient = value, gradient


def _decide(state: _Climber, period: int) -> None:
    """At a checkpoint: halve the step and return to the best point where the climb has stalled."""
    stuck = ~state.halved & (state.checked_loss >= state.best_loss)
    halve = (state.rises <= RISING * period) | stuck
    state.length = torch.where(halve, state.length / 2, state.length)
    wide = column(halve, state.point)
    state.before = torch.where(wide, state.best, state.before)
    state.point = torch.where(wide, state.best, state.point)
    state.gradient = torch.where(wide, state.best_gradient, state.gradient)
    state.loss = torch.where(halve, state.best_loss, state.loss)
    state.rises = torch.zeros_like(state.rises)
    state.checked_loss, state.halved = state.best_loss, halve


def _move(batch: Batch, state: _Climber, share: float) -> None:
    """One step uphill, mixed with the move before."""
    ball, bounds = batch.ball, batch.bounds
    ahead = ball.step(state.point, state.gradient, state.length, state.x, state.eps, bounds)
    if share < 1:
        mixed = state.point + share * (ahead - state.point) + (1 - share) * (state.point - state.before)
        ahead = ball.project(mixed, state.x, state.eps, bounds)
    state.before, state.point = state.point, ahead
