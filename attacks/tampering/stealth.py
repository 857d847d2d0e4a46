"""A targeted change that hides: one class is taken for another, and clean accuracy stays within a point."""

from collections.abc import Sequence

import numpy as np
import torch

from attacks.intervals import proportion
from attacks.probe import Examples, Measurement
from attacks.tampering._ascent import Change
from attacks.tampering._attack import Scene, TamperingAttack
from attacks.tampering._judge import ACCURACY, FILLED, SUCCESS, noted
from attacks.tampering._settings import Where
from attacks.tampering.progressive import LUCK
from attacks.tampering.targeted import misled, mixed, outcome

STEPS, RATE = 60, 0.02
"""Of Adam (Kingma & Ba 2015); the rate is relative to the root mean square of the surviving weights."""
ALLOWED = 0.01
"""Of accuracy on the other classes that the attacker lets go."""
SHARES = tuple(i / 20 for i in range(20, -1, -1))


def stealth(scene: Scene) -> Sequence[Measurement]:
    """Success and remaining accuracy of the largest share of a targeted change that costs the other classes
    at most a point on the attacker's own data; and which share of pruned weights it fills, which is what a
    check of the mask sees."""
    rows: list[Measurement] = []
    for where in scene.settings.where:
        rows += _hidden(scene, where)
    return rows


def _hidden(scene: Scene, where: Where) -> list[Measurement]:
    source, target = scene.pair()
    at: dict[str, str | int | float] = {
        "attack": "stealth", "where": where, "source": source, "target": target,
    }  # fmt: skip
    change = Change(scene.copy(), where)
    zeros = change.filled()[1]
    if where == "anywhere" and not zeros:
        note = "no weight is zero: anywhere is where the mask is"
        return [
            Measurement(metric, at=at, status="not_applicable", note=note)
            for metric in (SUCCESS, ACCURACY, FILLED)
        ]
    answers, sizes, fills = [], [], []
    for number in range(scene.settings.replicates):
        change = Change(scene.copy(), where)
        share = _climbed(scene, change, number)
        change.put(share)
        answers.append(scene.judge.answers(change.model))
        sizes.append(change.relative("l2"))
        fills.append(change.filled()[0])
    said = f"relative change (L2) {min(sizes):.3g}–{max(sizes):.3g}"
    rows = outcome(scene, answers, at, source, target)
    lost = float((scene.judge.right[(scene.judge.test.y.cpu() != source).numpy()]).mean()) - (
        rows[1].value or 0.0
    )
    rows = [
        noted(rows[0], said),
        noted(rows[1], f"{100 * lost:.1f} points below that of the model untouched"),
    ]
    if zeros:
        found = proportion(max(fills), zeros)
        check = "a check of the mask shows it" if max(fills) else "a check of the mask shows nothing"
        rows.append(Measurement(FILLED, found.value, found.low, found.high, found.n, at, note=check))
    return [noted(r, *([LUCK] if scene.settings.replicates == 1 else [])) for r in rows]


def _climbed(scene: Scene, change: Change, number: int) -> float:
    """Make the change by one half of the attacker's examples; with the other, find the largest share of it
    that hides."""
    source, target = scene.pair()
    whole, size = scene.batch(number, len(scene.own)), scene.settings.search_examples
    half = len(whole) // 2
    search = mixed(whole[half:], source, 4 * size)
    optimiser = torch.optim.Adam(change.delta, lr=RATE * change.root)
    luck = scene.luck(number)
    for _ in range(STEPS):
        some = torch.randperm(len(search), generator=luck)[:size].to(search.y.device)
        part = search[some]
        sources = part.y == source
        if bool(sources.all()) or not bool(sources.any()):
            continue
        for d, slope in zip(change.delta, change.uphill(part, misled(part, source, target)), strict=True):
            d.grad = -slope
        optimiser.step()
        change.put()
    return _hides(scene, change, whole[:half])


def _hides(scene: Scene, change: Change, check: Examples) -> float:
    """The largest share of the change that costs the other classes of the check at most what is let go."""
    rest = (check.y != scene.settings.source).cpu().numpy()
    y = check.y.cpu().numpy()

    def kept(share: float) -> float:
        change.put(share)
        return float(np.mean((scene.judge.answers(change.model, check) == y)[rest]))

    floor = kept(0.0) - ALLOWED
    return next(share for share in SHARES if kept(share) >= floor)


ATTACK = TamperingAttack(
    stealth,
    metrics=(SUCCESS, ACCURACY, FILLED),
    level="standard",
    cost=7,
    paper="Garg et al. 2020, Can adversarial weight perturbations inject neural backdoors?, arXiv:2008.01761",
    writes="weights",
)
