"""Random search: bits of the stored weights in an order drawn at random; what a search must beat."""

from collections.abc import Sequence

import numpy as np

from attacks.probe import Measurement
from attacks.tampering._attack import Scene, TamperingAttack
from attacks.tampering._judge import ACCURACY, FLIPS, PER_MILLION, noted, row
from attacks.tampering._search import Runs
from attacks.tampering._weights import Stored
from attacks.tampering.bit_flip import drawn
from attacks.tampering.progressive import LUCK, flips_needed

PATIENCE = 200
"""Times the flips of a search: more than so many random ones are not tried."""


def random_search(scene: Scene) -> Sequence[Measurement]:
    """As the progressive search is judged, and on, in steps of a quarter more."""
    settings = scene.settings
    stored = Stored(scene.copy(), "int8")
    total = len(stored) * stored.bits
    limit = min(total, PATIENCE * settings.flips)
    orders = [drawn(np.random.default_rng([scene.seed, r]), total, limit) for r in range(settings.replicates)]
    for r, order in enumerate(orders):  # as drawn, their order is not random
        np.random.default_rng([scene.seed, r, 1]).shuffle(order)
    runs = Runs(scene.judge, stored, [lambda k, o=order: stored.scatter(o[:k]) for order in orders])  # type: ignore[misc]
    at: dict[str, str | int | float] = {"attack": "random_search", "storage": "int8"}
    rows = [row(ACCURACY, runs.curve(k), "correct", {**at, "flips": k}) for k in settings.grid if k <= limit]
    rows += flips_needed(runs, _grid(limit), at, scene.judge.chance, len(stored), "")
    return [noted(found, *([LUCK] if settings.replicates == 1 else [])) for found in rows]


def _grid(limit: int) -> list[int]:
    """1, 2, 3, 4, 5, then a quarter more each; the limit last."""
    found = [1]
    while (following := max(found[-1] + 1, found[-1] * 5 // 4)) < limit:
        found.append(following)
    return [*found, limit] if limit > 1 else found


ATTACK = TamperingAttack(
    random_search,
    metrics=(ACCURACY, FLIPS, PER_MILLION),
    level="standard",
    cost=4,
    paper="the baseline of Rakin et al. 2019, section 4",
)
