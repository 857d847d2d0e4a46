"""Targeted bit search: flip bits until one class is taken for another, the rest unharmed (T-BFA)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from attacks.probe import Examples, Measurement
from attacks.tampering._attack import Loss, Scene, TamperingAttack
from attacks.tampering._judge import ACCURACY, SUCCESS, noted, row, share
from attacks.tampering._search import Search
from attacks.tampering._weights import Stored, UnfitError
from attacks.tampering.progressive import LUCK, where_hit

ABSENT = "the audit examples have none of the source class"


def targeted(scene: Scene) -> Sequence[Measurement]:
    """Share of the source class that gets the target class, and accuracy on the other classes, after at most
    ``flips`` flips; an attacker stops when its own examples of the source class all get the target."""
    settings, (source, target) = scene.settings, scene.pair()
    stored = Stored(scene.copy(), "int8")
    answers, used, hit = [], [], ""
    for number in range(settings.replicates):
        stored.restore()
        batch = mixed(scene.batch(number, len(scene.own)), source, settings.search_examples)
        search = Search(stored, batch, misled(batch, source, target), settings.tries)
        sources = batch.x[batch.y == source]
        while len(search.flips) < min(settings.flips, len(stored)):
            search.step()
            with torch.no_grad():
                if bool((stored.model(sources).argmax(dim=1) == target).all()):
                    break
        answers.append(scene.judge.answers(stored.model))
        used.append(len(search.flips))
        hit = hit or where_hit(stored, search.flips)
    at: dict[str, str | int | float] = {
        "attack": "targeted", "storage": "int8", "flips": settings.flips, "source": source, "target": target,
    }  # fmt: skip
    said = f"{min(used)}–{max(used)} flips" if len({*used}) > 1 else f"{used[0]} flips"
    rows = outcome(scene, answers, at, source, target)
    return [noted(r, said, hit, *([LUCK] if settings.replicates == 1 else [])) for r in rows]


def outcome(
    scene: Scene, answers: Sequence[np.ndarray], at: dict[str, str | int | float], source: int, target: int
) -> list[Measurement]:
    """Success on the source class, and accuracy on the rest."""
    y = scene.judge.test.y.cpu()
    rest = y != source
    right = np.stack([each == y.numpy() for each in answers])[:, rest.numpy()]
    return [
        row(SUCCESS, share(answers, ~rest, target), "agree", at, empty=ABSENT),
        row(ACCURACY, right, "correct", {**at, "on": "rest"}),
    ]


def mixed(whole: Examples, source: int, count: int) -> Examples:
    """So many of an attacker's examples: half of the source class, as far as it has them, half of the others.

    Raises UnfitError where it has none of either.
    """
    half, sources = max(1, count // 2), whole.y == source
    if not bool(sources.any()) or bool(sources.all()):
        kind = "no example" if not bool(sources.any()) else "nothing but examples"
        raise UnfitError(f"the attacker's data hold {kind} of class {source}, the source")
    some = torch.cat([sources.nonzero().flatten()[:half], (~sources).nonzero().flatten()[:half]])
    return whole[some]


def misled(batch: Examples, source: int, target: int) -> Loss:
    """Of Rakin et al. 2021, equation 7: the source class is to get the target, all others their own."""
    wanted = torch.where(batch.y == source, target, batch.y)
    sources = batch.y == source

    def loss(logits: Tensor) -> Tensor:
        each = F.cross_entropy(logits, wanted, reduction="none")
        return -(each[sources].mean() + each[~sources].mean())

    return loss


ATTACK = TamperingAttack(
    targeted,
    metrics=(SUCCESS, ACCURACY),
    level="standard",
    cost=5,
    paper="Rakin et al. 2021, T-BFA: targeted bit-flip adversarial weight attack, arXiv:2007.12336",
)
