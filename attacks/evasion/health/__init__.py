"""Health: whether the attacks on a model worked, so that its robust accuracy can be believed.

Each flag is one function of the evidence. To add one: write it, and name it in :data:`CHECKS`.
"""

from collections.abc import Callable, Mapping

import torch

from attacks.evasion._settings import Settings
from attacks.evasion.health._evidence import Evidence
from attacks.evasion.health._flag import METRIC, Flag
from attacks.evasion.health.gradients import float32_gradients, noisy_loss, saturated_softmax, zero_gradients
from attacks.evasion.health.inference import inferred_wrongly
from attacks.evasion.health.outputs import randomised, softmax_outputs
from attacks.evasion.health.progress import (
    loss_still_falling,
    not_monotone,
    one_step_stronger,
    path_not_end,
    unbounded_survivors,
)
from attacks.evasion.health.rivals import black_box_stronger, noise_as_strong, stronger
from attacks.evasion.sweep import Sweep

__all__ = ["CHECKS", "METRIC", "Evidence", "Flag", "diagnose", "examine"]

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


NOTHING = "the model gets no example right: there is nothing to attack."
CONSTANT = "the model answers the same to every input: no attack can change it, and none need be doubted."


def examine(evidence: Evidence) -> dict[str, Flag]:
    """Every check of one model in one norm, by the flag's name."""
    if len(evidence.batch) == 0 or evidence.constant:
        why = NOTHING if len(evidence.batch) == 0 else CONSTANT
        return {check.__name__: Flag(check.__name__, 1.0, None, why) for check in CHECKS}
    return {check.__name__: check(evidence) for check in CHECKS}


def diagnose(found: Sweep, sees: Mapping[str, str], settings: Settings) -> tuple[Evidence, dict[str, Flag]]:
    """The checks on a sample, and those of the sweep's own curves: do attacks that see less find more?

    ``sees``: by attack, what it uses of the model (:attr:`attacks.evasion._attack.EvasionAttack.sees`).
    """
    evidence = Evidence.of(found, settings)
    flags = examine(evidence)
    if found.trial is not None:
        flags["inferred_wrongly"] = inferred_wrongly(found.trial)
    broken = {name: curve.broken.cumsum(dim=0) > 0 for name, curve in found.curves.items()}
    white = [broken[name] for name in broken if sees[name] == "gradients"]
    if evidence.constant or not white:
        return evidence, flags
    together = torch.stack(white).any(dim=0)
    for flag, sights in (("black_box_stronger", ("scores", "labels")), ("transfer_stronger", ("others",))):
        rivals = [name for name in broken if sees[name] in sights]
        if rivals:
            rival = torch.stack([broken[name] for name in rivals]).any(dim=0)
            flags[flag] = stronger(flag, rival, together, " or ".join(rivals))
    return evidence, flags
