"""Fast gradient (sign) method: one step to the rim of the ball (Goodfellow et al. 2015, section 4)."""

from torch import Tensor

from attacks.evasion._attack import Batch, EvasionAttack
from attacks.evasion._effort import Effort


def fgsm(batch: Batch, effort: Effort) -> Tensor:
    """One step of length ε along the steepest direction at the clean input: the gradient's sign in L∞, the
    gradient itself in L2."""
    del effort
    return batch.ball.step(batch.x, batch.gradient, batch.eps, batch.x, batch.eps, batch.bounds)


ATTACK = EvasionAttack(
    fgsm,
    search="each",
    level="quick",
    cost=1,
    paper="Goodfellow et al. 2015, Explaining and harnessing adversarial examples",
)
