"""A suspected backdoor, tried: how often inputs with the user's own trigger get the attacker's class."""

from collections.abc import Sequence

import numpy as np

from attacks.probe import Examples, Measurement
from attacks.tampering._attack import Scene, TamperingAttack
from attacks.tampering._judge import SUCCESS, noted, row

NONE = "the plan names no trigger: whether a backdoor sleeps in the model was not looked for"


def trigger(scene: Scene) -> Sequence[Measurement]:
    """Share of the triggered inputs that get the class their attacker wants; and of the same inputs without
    the trigger, where they are at hand. What pruning woke is the difference between a pruned model and dense
    (Tian et al. 2022)."""
    if scene.target.trigger is None:
        return [Measurement(SUCCESS, at={"attack": "trigger"}, status="not_applicable", note=NONE)]
    given = scene.target.trigger()
    judge, wanted = scene.judge, given.wanted.cpu().numpy()
    rows = []
    for on, x in (("triggered", given.x), ("clean", given.clean)):
        if x is None:
            continue
        at = {"attack": "trigger", "on": on}
        got: np.ndarray = judge.answers(scene.target.model, Examples(x, given.wanted)) == wanted
        rows.append(noted(row(SUCCESS, got[None], "agree", at), judge.told()))
    return rows


ATTACK = TamperingAttack(
    trigger,
    metrics=(SUCCESS,),
    level="quick",
    cost=2,
    paper="Tian et al. 2022, Stealthy backdoors as compression artifacts, arXiv:2104.15129",
    writes="nothing",
)
