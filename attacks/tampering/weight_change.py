"""Small changes of all weights: the least that costs so many points, by gradient ascent in weight space."""

from collections.abc import Iterator, Sequence

import numpy as np

from attacks.probe import Measurement
from attacks.tampering._ascent import Change, Norm
from attacks.tampering._attack import Scene, TamperingAttack
from attacks.tampering._judge import CHANGE, Goal, Hits, crossing, noted
from attacks.tampering._settings import Where
from attacks.tampering.progressive import LUCK, untargeted

GOALS = ("5 points", "10 points", "50 points")
NORMS: tuple[Norm, ...] = ("l2", "linf")
RADII = tuple(2.0 ** (i / 4 - 8) for i in range(33))
"""Relative radii, from 0.4% to the weights' own length, each 19% larger than the last."""


def weight_change(scene: Scene) -> Sequence[Measurement]:
    """The least relative change ‖δ‖ / ‖w‖ found, in L2 and L∞, for every damage.

    The attacker climbs in balls of rising radius, each from what it found in the last; the first radius that
    does the damage counts. ``where``: ``mask`` leaves zeros alone, ``anywhere`` fills them.
    """
    dense = Change(scene.copy(), "anywhere").filled()[1] == 0
    rows: list[Measurement] = []
    for where in scene.settings.where:
        if where == "anywhere" and dense:
            note = "no weight is zero: anywhere is where the mask is"
            rows += [
                Measurement(CHANGE, at=_at(norm, where) | {"goal": goal}, status="not_applicable", note=note)
                for norm in NORMS
                for goal in GOALS
            ]
            continue
        for norm in NORMS:
            rows += _least(scene, norm, where)
    return rows


def _at(norm: Norm, where: Where) -> dict[str, str | int | float]:
    return {"attack": "weight_change", "norm": norm, "where": where}


def _least(scene: Scene, norm: Norm, where: Where) -> Iterator[Measurement]:
    paths = [_path(scene, norm, where, number) for number in range(scene.settings.replicates)]

    def curve(step: int) -> Hits:
        return np.stack([path[min(step, len(path) - 1)] for path in paths])

    steps, last = range(1, len(RADII) + 1), "a change as large as the weights"
    for goal in GOALS:
        found = crossing(
            CHANGE,
            Goal(goal, scene.judge.chance),
            curve,
            steps,
            _at(norm, where),
            lambda i: RADII[i - 1],
            last,
        )
        yield noted(found, *([LUCK] if scene.settings.replicates == 1 else []), scene.judge.told())


def _path(scene: Scene, norm: Norm, where: Where, number: int) -> list[np.ndarray]:
    """What one attacker leaves right at every radius, the untouched model first; it stops where more is lost
    than is asked for."""
    change, batch = Change(scene.copy(), where), scene.batch(number)
    whole = change.length(norm)
    found = [scene.judge.hits(change.model)]
    for radius in RADII:
        change.climb(batch, untargeted(batch), norm, radius * whole, scene.settings.steps)
        found.append(scene.judge.hits(change.model))
        if found[-1].mean() <= found[0].mean() - 0.6:
            break
    return found


ATTACK = TamperingAttack(
    weight_change,
    metrics=(CHANGE,),
    level="standard",
    cost=6,
    paper="Wu et al. 2020, Adversarial weight perturbation helps robust generalization, arXiv:2004.05884 "
    "(as an attack on weights alone)",
    writes="weights",
)
