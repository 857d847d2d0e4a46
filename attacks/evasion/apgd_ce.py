"""Auto-PGD on cross-entropy (Croce & Hein 2020): the first attack of the reference AutoAttack."""

import torch
from torch import Tensor

from attacks.evasion._apgd import ascend
from attacks.evasion._attack import Batch, EvasionAttack
from attacks.evasion._effort import Effort
from attacks.evasion._losses import odds


def apgd_ce(batch: Batch, effort: Effort) -> Tensor:
    """From random starts; what one start breaks, the next need not."""
    result = batch.x.clone()
    pending = torch.arange(len(batch), device=batch.x.device)
    for start in range(effort.restarts):
        part = batch.at(pending, batch.eps[pending])
        origin = part.ball.sample(part.seeds[:, start], part.x, part.eps, part.bounds)
        result[pending], fooled = ascend(part, origin, odds, part.y, effort.apgd_steps)
        pending = pending[~fooled]
        if len(pending) == 0:
            break
    return result


ATTACK = EvasionAttack(
    apgd_ce,
    search="smallest",
    level="standard",
    cost=100,
    steps="apgd_steps",
    on="survivors",
    paper="Croce & Hein 2020, Reliable evaluation of adversarial robustness with an ensemble of diverse "
    "parameter-free attacks, arXiv:2003.01690",
)
