"""A random corner of the ball: every value moves by ε, up or down by chance. It asks nothing of the model."""

import torch
from torch import Tensor

from attacks.evasion import Batch, Effort, EvasionAttack


def corner(batch: Batch, effort: Effort) -> Tensor:
    """One candidate per example, whose signs depend on the example's own seed alone."""
    del effort
    drawn = [
        torch.rand(batch.x.shape[1:], generator=torch.Generator().manual_seed(int(seed)))
        for seed in batch.seeds[:, 0]
    ]
    signs = torch.stack(drawn).to(batch.x) * 2 - 1
    return batch.ball.step(batch.x, signs, batch.eps, batch.x, batch.eps, batch.bounds)


ATTACK = EvasionAttack(
    corner, search="each", paper="no one's: a null for real attacks", norms=("linf",), sees="labels"
)
