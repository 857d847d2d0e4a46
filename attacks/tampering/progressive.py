"""Progressive bit search: flip the bits that hurt most, found by gradient and trial (Rakin et al. 2019)."""

from collections import Counter
from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from attacks.probe import Examples, Measurement
from attacks.tampering._attack import Loss, Scene, TamperingAttack
from attacks.tampering._judge import ACCURACY, FLIPS, PER_MILLION, Goal, crossing, noted, row
from attacks.tampering._search import Runs, Search
from attacks.tampering._weights import Flip, Stored

GOALS = ("10 points", "50 points", "chance")

LUCK = "one attacker: the interval lacks the luck of the examples that it searched by"


def progressive(scene: Scene) -> Sequence[Measurement]:
    """Accuracy after so many flips; and how many it takes to lose 10 points, and all that is above chance."""
    settings, chance = scene.settings, scene.judge.chance
    stored = Stored(scene.copy(), "int8")
    trails: list[list[Flip]] = [[] for _ in range(settings.replicates)]
    runs = Runs(scene.judge, stored, [lambda k, t=trail: _put(stored, t[:k]) for trail in trails])  # type: ignore[misc]
    for number, trail in enumerate(trails):
        batch = scene.batch(number)
        stored.restore()
        search = Search(stored, batch, untargeted(batch), settings.tries)
        for k in settings.grid:
            while len(search.flips) < min(k, len(stored)):
                search.step()
            trail[:] = search.flips
            if runs.hits(number, k).mean() <= chance:
                break  # destroyed: what would follow changes nothing that is asked
            stored.restore()
            _put(stored, trail)
    at: dict[str, str | int | float] = {"attack": "progressive", "storage": "int8"}
    hit = "; ".join(where_hit(stored, trail) for trail in trails[:1])
    rows = [row(ACCURACY, runs.curve(k), "correct", {**at, "flips": k}) for k in settings.grid]
    rows[-1] = noted(rows[-1], hit)
    rows += flips_needed(runs, settings.grid, at, chance, len(stored), hit)
    return [noted(found, *([LUCK] if settings.replicates == 1 else [])) for found in rows]


def flips_needed(
    runs: Runs,
    grid: Sequence[int],
    at: dict[str, str | int | float],
    chance: float,
    survivors: int,
    note: str,
) -> list[Measurement]:
    """Flips to every goal: in the model, and per million of its surviving weights."""
    last = f"the largest number of flips tried ({grid[-1]:,})"
    units = ((FLIPS, lambda k: float(k)), (PER_MILLION, lambda k: 1e6 * k / survivors))
    return [
        noted(crossing(metric, Goal(goal, chance), runs.curve, grid, at, worth, last), note)
        for goal in GOALS
        for metric, worth in units
    ]


def untargeted(batch: Examples) -> Loss:
    """Cross-entropy with the true labels."""

    def loss(logits: Tensor) -> Tensor:
        return F.cross_entropy(logits, batch.y)

    return loss


def where_hit(stored: Stored, flips: Sequence[Flip]) -> str:
    """Which layers and bits were hit, most often first."""
    layers = Counter(stored.layers[flip.layer].name for flip in flips)
    bits = Counter(flip.bit for flip in flips)
    names = ", ".join(f"{name} {count}" for name, count in layers.most_common(4))
    more = f" and {len(layers) - 4} more layers" if len(layers) > 4 else ""
    return f"bits hit: {names}{more}; " + ", ".join(
        f"bit {bit} {count}" for bit, count in bits.most_common(3)
    )


def _put(stored: Stored, flips: Sequence[Flip]) -> None:
    for flip in flips:
        stored.flip(flip)


ATTACK = TamperingAttack(
    progressive,
    metrics=(ACCURACY, FLIPS, PER_MILLION),
    level="quick",
    cost=3,
    paper="Rakin et al. 2019, Bit-flip attack: crushing neural network with progressive bit search, "
    "arXiv:1903.12269",
)
