"""Random faults: bits of the stored weights flipped by nobody's will, at a rate or so many in all."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from attacks.probe import Measurement
from attacks.tampering._attack import Scene, TamperingAttack
from attacks.tampering._judge import ACCURACY, noted, row
from attacks.tampering._storage import Storage
from attacks.tampering._weights import Stored


def bit_flip(scene: Scene) -> Sequence[Measurement]:
    """Accuracy as stored (rate 0), then with every stored bit flipped with probability ``rate``, and with
    ``flips`` of them flipped, averaged over draws."""
    return [found for storage in scene.settings.storage for found in _in(scene, storage)]


def _in(scene: Scene, storage: Storage) -> Iterator[Measurement]:
    judge, settings = scene.judge, scene.settings
    stored = Stored(scene.copy(), storage)
    total = len(stored) * stored.bits
    at: dict[str, str | int | float] = {"attack": "bit_flip", "storage": storage}
    yield row(
        ACCURACY, judge.hits(stored.model)[None], "correct", {**at, "rate": 0.0}, "as stored, untouched"
    )
    for key, values in (("rate", settings.rates), ("flips", settings.counts)):
        for value in values:
            if key == "flips" and value > total:
                note = f"there are {total:,} bits to flip"
                yield Measurement(ACCURACY, at={**at, key: value}, status="refused", note=note)
                continue
            hits, counts = [], []
            for draw in range(settings.draws):
                luck = np.random.default_rng([scene.seed, draw])
                count = int(luck.binomial(total, value)) if key == "rate" else int(value)
                stored.scatter(drawn(luck, total, count))
                hits.append(judge.hits(stored.model))
                stored.restore()
                counts.append(count)
            flipped = f"{min(counts):,}–{max(counts):,}" if len({*counts}) > 1 else f"{counts[0]:,}"
            said = f"{flipped} of {total:,} bits flipped, mean of {settings.draws} draws"
            yield noted(row(ACCURACY, np.stack(hits), "correct", {**at, key: value}), said, judge.told())


def drawn(luck: np.random.Generator, total: int, count: int) -> NDArray[np.int64]:
    """So many different numbers below ``total``."""
    return luck.choice(total, count, replace=False, shuffle=False).astype(np.int64)


ATTACK = TamperingAttack(
    bit_flip,
    metrics=(ACCURACY,),
    level="quick",
    cost=1,
    paper="Hong et al. 2019, Terminal brain damage: exposing the graceless degradation in deep neural "
    "networks under hardware fault attacks, arXiv:1906.01017",
)
