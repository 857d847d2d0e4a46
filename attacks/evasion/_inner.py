"""The inner maximisation of adversarial training: the worst of a batch, for a model that is being trained."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attacks.evasion._balls import BALLS, Bounds

STRIDE = 2.5
"""Steps are this many times ε/steps long: from any point of the ball any other can be reached."""
SEEDS = 2**62
"""Seeds stay below it, so that an example's own can be added."""


def worst(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    norm: str,
    eps: float,
    steps: int,
    bounds: Bounds,
    seed: int,
) -> Tensor:
    """The last of ``steps`` projected ascents of the cross-entropy from a random start, (N, …) as ``x``.

    Inside the ball of radius ``eps`` around each input and inside ``bounds``. Unlike an attack of an audit it
    goes on where the model errs already: training wants the highest loss, not the nearest mistake (Madry et
    al. 2018, arXiv:1706.06083, equation 2.1). Parameters get no gradient; every number drawn follows from
    ``seed`` and an example's place in the batch.
    """
    ball, radii = BALLS[norm], torch.full((len(x),), eps, dtype=x.dtype, device=x.device)
    seeds = torch.arange(len(x), device=x.device) + seed * 2**20 % SEEDS
    point = ball.sample(seeds, x, radii, bounds)
    for _ in range(steps):
        point.requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(point), y, reduction="sum"), point)
        with torch.no_grad():
            point = ball.step(point, gradient, radii * (STRIDE / steps), x, radii, bounds)
    return point.detach()
