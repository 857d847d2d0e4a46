"""Projected gradient descent: many small steps inside the ball (Madry et al. 2018, section 2.1)."""

import torch
from torch import Tensor

from attacks.evasion._attack import Batch, EvasionAttack
from attacks.evasion._balls import half_cosine
from attacks.evasion._effort import Effort
from attacks.evasion._losses import climb
from attacks.evasion._passes import picked, predict


def pgd(batch: Batch, effort: Effort) -> Tensor:
    """The first iterate of any start that fools the model, else the last iterate of the last start.

    The first start is the clean input, the others are drawn at random in the ball. Every iterate is
    tested, and an example that is broken takes no further step. Step k of K has length ε (1 + cos πk/K) / 2:
    the first ones cross the ball, which breaks most examples at once, and the last ones settle.
    """
    result = batch.x.clone()
    pending = torch.arange(len(batch), device=batch.x.device)
    for start in range(effort.restarts):
        part = batch if len(pending) == len(batch) else batch.at(pending, batch.eps[pending])
        if start == 0:
            iterate = part.x
        else:
            iterate = part.ball.sample(part.seeds[:, start], part.x, part.eps, part.bounds)
        pending = _ascend(part, pending, iterate, effort.steps, result, from_clean=start == 0)
        if len(pending) == 0:
            break
    return result


def _ascend(
    part: Batch, pending: Tensor, iterate: Tensor, steps: int, result: Tensor, *, from_clean: bool
) -> Tensor:
    """Climb from ``iterate``, write what is found to ``result[pending]``, return what is still unbroken."""
    x, y, eps, gradient = part.x, part.y, part.eps, part.gradient
    for step in range(steps + 1):
        if step > 0 or not from_clean:
            if step < steps:
                logits, _, gradient = climb(part.model, iterate, y)
            else:
                logits = predict(part.model, iterate)
            standing = logits.argmax(dim=1) == y
            if not bool(standing.all()):
                gone, kept = (torch.nonzero(some).squeeze(1) for some in (~standing, standing))
                result[pending[gone]] = picked(iterate, gone)
                pending, iterate, x, y, eps, gradient = (
                    picked(tensor, kept) for tensor in (pending, iterate, x, y, eps, gradient)
                )
                if len(pending) == 0:
                    return pending
        if step < steps:
            iterate = part.ball.step(iterate, gradient, eps * half_cosine(step, steps), x, eps, part.bounds)
    result[pending] = iterate
    return pending


ATTACK = EvasionAttack(
    pgd,
    search="smallest",
    level="quick",
    cost=20,
    steps="steps",
    paper="Madry et al. 2018, Towards deep learning models resistant to adversarial attacks",
)
