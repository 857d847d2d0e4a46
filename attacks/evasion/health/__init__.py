"""Health: whether the attacks on a model worked, so that its robust accuracy can be believed.

Each flag is one function of the evidence. To add one: write it, and name it in :data:`CHECKS`.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from attacks.evasion._attack import EvasionAttack, reason
from attacks.evasion._inference import LIMIT
from attacks.evasion._settings import Settings
from attacks.evasion.health._evidence import Evidence
from attacks.evasion.health._flag import METRIC, Flag, counted
from attacks.evasion.health.gradients import (
    float32_gradients,
    noisy_loss,
    saturated_softmax,
    wrong_gradients,
    zero_gradients,
)
from attacks.evasion.health.inference import inferred_wrongly
from attacks.evasion.health.outputs import batch_dependent, randomised, softmax_outputs
from attacks.evasion.health.progress import (
    longer_stronger,
    loss_still_falling,
    not_monotone,
    one_step_stronger,
    path_not_end,
    unbounded_survivors,
    walk_stronger,
)
from attacks.evasion.health.rivals import black_box_stronger, noise_as_strong, stronger
from attacks.evasion.sweep import Sweep

__all__ = ["CHECKS", "METRIC", "Evidence", "Flag", "diagnose", "examine"]

CHECKS: tuple[Callable[[Evidence], Flag], ...] = (
    randomised,
    batch_dependent,
    softmax_outputs,
    zero_gradients,
    saturated_softmax,
    float32_gradients,
    noisy_loss,
    wrong_gradients,
    path_not_end,
    loss_still_falling,
    longer_stronger,
    walk_stronger,
    one_step_stronger,
    not_monotone,
    unbounded_survivors,
    black_box_stronger,
    noise_as_strong,
)


NOTHING = "the model gets no example right: there is nothing to attack."
CONSTANT = (
    "the model gives one class to every test input and random input, attacked or not: nothing is in doubt."
)


def examine(evidence: Evidence) -> dict[str, Flag]:
    """Every check of one model in one norm, by the flag's name."""
    if len(evidence.batch) == 0 or evidence.constant:
        why = NOTHING if len(evidence.batch) == 0 else CONSTANT
        return {check.__name__: Flag(check.__name__, 1.0, None, why) for check in CHECKS}
    return {check.__name__: _made(check, evidence) for check in CHECKS}


def _made(check: Callable[[Evidence], Flag], evidence: Evidence) -> Flag:
    """The check; one that crashes is a failed row, which leaves the figures in doubt."""
    try:
        return check(evidence)
    except Exception as error:  # whatever a foreign model raises
        return Flag(check.__name__, 0.0, None, f"the check failed: {reason(error)}", status="failed")


def diagnose(
    found: Sweep, attacks: Mapping[str, EvasionAttack], inputs: Tensor, settings: Settings
) -> tuple[Evidence, dict[str, Flag]]:
    """The checks on a sample, and those of the sweep's own curves: do attacks that see less find more?

    ``attacks``: the plan's, by name; any other curve is of what fooled other models. ``inputs``: all test
    inputs, (n, …).
    """
    evidence = Evidence.of(found, attacks, inputs, settings)
    flags = examine(evidence)
    if len(evidence.batch) == 0 or evidence.constant:
        return evidence, flags
    if found.failed:
        flags["attack_failed"] = attack_failed(found)
    if found.untried:
        note = f"what stands by inference could not be tried: {found.untried}"
        flags["inferred_wrongly"] = Flag("inferred_wrongly", LIMIT, None, note, status="failed")
    if found.trial is not None:
        flags["inferred_wrongly"] = inferred_wrongly(found.trial)
    broken = {name: curve.broken.cumsum(dim=0) > 0 for name, curve in found.curves.items()}
    sees = {name: attacks[name].sees if name in attacks else "others" for name in broken}
    white = [broken[name] for name in broken if sees[name] == "gradients"]
    if not white:
        return evidence, flags
    together = torch.stack(white).any(dim=0)
    for flag, sights in (("black_box_stronger", ("scores", "labels")), ("transfer_stronger", ("others",))):
        rivals = [name for name in broken if sees[name] in sights]
        if rivals:
            rival = torch.stack([broken[name] for name in rivals]).any(dim=0)
            flags[flag] = stronger(flag, rival, together, " or ".join(rivals))
    return evidence, flags


def attack_failed(found: Sweep) -> Flag:
    """An attack of the plan could not be run: whatever still stands might not have withstood it."""
    standing = ~found.worst[0]
    names = " and ".join(found.failed)
    return Flag("attack_failed", 0.0, standing, counted(standing, f"standing, but {names} could not be run."))
