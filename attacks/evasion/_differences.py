"""Gradients held against differences of the loss."""

import torch
from torch import Tensor, nn

from attacks._model import checked
from attacks.evasion._attack import Batch
from attacks.evasion._balls import column
from attacks.evasion._losses import climb, odds
from attacks.evasion._random import uniform

DIRECTIONS = 8
"""Random directions in which a gradient is tried."""
STREAM = 1 << 22
"""Of their random numbers."""
UNTOLD = 0.1
"""The share of what the loss does that a right gradient may leave untold: kinks, curvature."""


@torch.no_grad()
def untold(
    batch: Batch, model: nn.Module, eps: float, reach: float, rounding: Tensor | float = 0.0
) -> Tensor:
    """The share of what the loss does in random directions of which the gradient says nothing, (N,) float64.

    At a random input of the ball of radius ε, since a gradient may be right at the data alone, and since
    networks have kinks there (pools over even background). The loss is followed by ``reach`` to both sides;
    what it does is held against what the gradient says, up to a common factor: 1 − r², r the correlation
    without centring; 1 where r is below zero. A loss that moves by no more than ``rounding``, (N,), counts 0.
    """
    ball, y = batch.ball, batch.y
    x = ball.sample(batch.seeds[:, 0], batch.x, torch.full_like(batch.eps, eps), batch.bounds).to(batch.x)
    gradient = climb(model, x, y)[2]
    told, done = [], []
    for k in range(DIRECTIONS):
        way = torch.where(uniform(batch.seeds[:, 0], x.shape[1:], STREAM + k) < 0.5, -1.0, 1.0).to(x)
        length = reach / ball.distance(way, torch.zeros_like(way))
        step = column(length.to(x), x) * way
        wide = torch.full_like(batch.eps, reach)
        ends = [ball.project(x + side * step, x, wide, batch.bounds) for side in (1, -1)]
        up, down = (odds(checked(model(end)), y)[0].double() for end in ends)
        done.append(up - down)
        told.append((gradient.double() * (ends[0].double() - ends[1].double())).flatten(1).sum(dim=1))
    says, does = torch.stack(told), torch.stack(done)
    both = (says * does).sum(dim=0)
    sizes = says.square().sum(dim=0) * does.square().sum(dim=0)
    share = torch.where(both > 0, 1 - both.square() / sizes.clamp(min=1e-300), 1.0)
    return torch.where(does.abs().amax(dim=0) > rounding, share, 0.0)
