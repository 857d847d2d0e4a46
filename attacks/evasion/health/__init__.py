"""Health: whether the attacks on a model worked, so that its robust accuracy can be believed.

Each flag is one function of the evidence. To add one: write it, and name it in :data:`CHECKS`.
"""

from collections.abc import Callable, Sequence

from attacks.evasion.health._evidence import Evidence
from attacks.evasion.health._flag import METRIC, Flag
from attacks.evasion.health.gradients import float32_gradients, noisy_loss, saturated_softmax, zero_gradients
from attacks.evasion.health.outputs import randomised, softmax_outputs
from attacks.evasion.health.progress import (
    loss_still_falling,
    not_monotone,
    one_step_stronger,
    path_not_end,
    unbounded_survivors,
)
from attacks.evasion.health.rivals import black_box_stronger, noise_as_strong

__all__ = ["CHECKS", "METRIC", "Evidence", "Flag", "examine"]

CHECKS: tuple[Callable[[Evidence], Flag], ...] = (
    randomised,
    softmax_outputs,
    zero_gradients,
    saturated_softmax,
    float32_gradients,
    noisy_loss,
    path_not_end,
    loss_still_falling,
    one_step_stronger,
    not_monotone,
    unbounded_survivors,
    black_box_stronger,
    noise_as_strong,
)


def examine(evidence: Evidence) -> Sequence[Flag]:
    """Every check of one model in one norm. A model that answers the same to all inputs has no health."""
    return [check(evidence) for check in CHECKS]
