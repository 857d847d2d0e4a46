"""Auto-PGD on the targeted difference of logits ratio, one class after the other (Croce & Hein 2020)."""

import torch
from torch import Tensor

from attacks.evasion._apgd import ascend
from attacks.evasion._attack import Batch, EvasionAttack
from attacks.evasion._effort import Effort
from attacks.evasion._losses import dlr_targeted


def apgd_t(batch: Batch, effort: Effort) -> Tensor:
    """Aims at each of the likeliest wrong classes in turn, from a random start; what is broken stays so."""
    result = batch.x.clone()
    pending = torch.arange(len(batch), device=batch.x.device)
    others = batch.logits.scatter(1, batch.y.unsqueeze(1), -torch.inf).argsort(dim=1, descending=True)
    for start in range(effort.restarts):
        for rank in range(min(effort.targets, batch.logits.shape[1] - 1)):
            part = batch.at(pending, batch.eps[pending])
            targets = torch.stack((part.y, others[pending, rank]), dim=1)
            origin = part.ball.sample(part.seeds[:, start] + rank + 1, part.x, part.eps, part.bounds)
            result[pending], fooled = ascend(part, origin, dlr_targeted, targets, effort.apgd_steps)
            pending = pending[~fooled]
            if len(pending) == 0:
                return result
    return result


ATTACK = EvasionAttack(
    apgd_t,
    search="smallest",
    level="standard",
    cost=900,
    steps="apgd_steps",
    rounds="targets",
    on="survivors",
    paper="Croce & Hein 2020, Reliable evaluation of adversarial robustness with an ensemble of diverse "
    "parameter-free attacks, arXiv:2003.01690",
)
