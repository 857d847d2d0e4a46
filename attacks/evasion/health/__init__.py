"""Health: whether the attacks on a model worked, so that its robust accuracy can be believed.

Each flag is one function of the evidence. To add one: write it, and name it in :data:`CHECKS`.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from attacks.evasion._attack import EvasionAttack, reason
from attacks.evasion._curves import Sweep
from attacks.evasion._inference import LIMIT
from attacks.evasion._pieces import Ground, blocks, key, texts
from attacks.evasion.health._evidence import Evidence, constant, halfway, sample
from attacks.evasion.health._flag import HEALTH, METRIC, Flag, found_again, left
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
from attacks.probe import Part

__all__ = ["CHECKS", "METRIC", "Evidence", "Flag", "examined", "flags"]

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


def examined(ground: Ground, some: range) -> Part:
    """Every check in every norm on some of the sample (:func:`attacks.evasion.health._evidence.sample`)."""
    stop = min(some.stop, len(sample(int(ground.right.sum()))))

    def of_block(block: range) -> Part:
        arrays: Part = {}
        for norm in ground.settings.norms:
            if constant(ground, norm):
                arrays = {**arrays, key(norm, HEALTH, "constant"): np.array([CONSTANT])}
                continue
            evidence = Evidence.of(ground, norm, block)
            for check in CHECKS:
                arrays = {**arrays, **left(_made(check, evidence), norm)}
        return arrays

    return ground.each(blocks(range(some.start, stop), ground.target.block), HEALTH, of_block)


def _made(check: Callable[[Evidence], Flag], evidence: Evidence) -> Flag:
    """The check; one that crashes is a failed row, which leaves the figures in doubt."""
    try:
        return check(evidence)
    except Exception as error:  # whatever a foreign model raises
        return Flag(check.__name__, 0.0, None, f"the check failed: {reason(error)}", status="failed")


def flags(ground: Ground, norm: str) -> dict[str, Flag]:
    """By name, what the checks found in one norm, and those of the sweep's own curves: do attacks that see
    less find more? Any curve but those of the plan's attacks is of what fooled other models."""
    found, known = ground.sweeps[norm], ground.known
    nothing = [NOTHING] if not bool(found.right.any()) else texts(known, norm, HEALTH, "constant")
    if nothing:
        return {check.__name__: Flag(check.__name__, 1.0, None, nothing[0]) for check in CHECKS}
    names = [check.__name__ for check in CHECKS]
    flags = {name: found_again(known, norm, name, list(ground.attacks)) for name in names}
    if found.failed:
        flags["attack_failed"] = attack_failed(found)
    if found.untried:
        note = f"what stands by inference could not be tried: {found.untried}"
        flags["inferred_wrongly"] = Flag("inferred_wrongly", LIMIT, None, note, status="failed")
    if found.trial is not None:
        flags["inferred_wrongly"] = inferred_wrongly(found.trial)
    return flags | _rivals(found, ground.attacks, _sampled(found, flags[black_box_stronger.__name__]))


def _sampled(found: Sweep, flag: Flag) -> Tensor:
    """What the Square of the checks broke of its sample, among all, (len(grid), n) bool."""
    broken = torch.zeros_like(found.worst)
    if flag.hits is not None:
        where = torch.nonzero(found.right).squeeze(1)[sample(int(found.right.sum())).to(broken.device)]
        broken[halfway(~found.worst[:, where]) :, where] = flag.hits.to(broken.device)
    return broken


def _rivals(found: Sweep, attacks: Mapping[str, EvasionAttack], sampled: Tensor) -> dict[str, Flag]:
    """Attacks that see less, held against those that follow gradients; ``sampled``: what the checks' own
    broke, which counts beside the plan's."""
    broken = {name: curve.broken.cumsum(dim=0) > 0 for name, curve in found.curves.items()}
    sees = {name: attacks[name].sees if name in attacks else "others" for name in broken}
    white = [broken[name] for name in broken if sees[name] == "gradients"]
    if not white:
        return {}
    together, flags = torch.stack(white).any(dim=0), {}
    for flag, sights in (("black_box_stronger", ("scores", "labels")), ("transfer_stronger", ("others",))):
        rivals = [name for name in broken if sees[name] in sights]
        if rivals:
            rival = torch.stack([broken[name] for name in rivals]).any(dim=0)
            if flag == black_box_stronger.__name__:
                rival = rival | sampled
            flags[flag] = stronger(flag, rival, together, " or ".join(rivals))
    return flags


def attack_failed(found: Sweep) -> Flag:
    """An attack of the plan could not be run: whatever still stands might not have withstood it."""
    names = " and ".join(found.failed)
    return Flag("attack_failed", 0.0, ~found.worst[0], f"standing, but {names} could not be run.")
