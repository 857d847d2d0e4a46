"""Faults in a compressed file's indices: where its values stand, flipped at random, read without a check."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from attacks.probe import Measurement
from attacks.tampering._attack import Scene, TamperingAttack
from attacks.tampering._judge import ACCURACY, noted, row
from attacks.tampering._weights import UnfitError, parameters
from attacks.tampering.bit_flip import drawn

Bits = NDArray[np.uint8]

CAUGHT = "read by who trusts the file: a reader that counts and orders them, as ours, refuses most such files"


def index_flip(scene: Scene) -> Sequence[Measurement]:
    """Accuracy with every bit of the indices flipped with probability ``rate``, averaged over draws."""
    model = scene.copy()
    indices = {
        name: Indices(p) for name, p in parameters(model).items() if 0 < int((p != 0).sum()) < p.numel()
    }
    if not indices:
        raise UnfitError("no weight is zero: a compressed file of this model has no indices")
    total = sum(each.bits for each in indices.values())
    rows = []
    for rate in scene.settings.rates:
        hits = []
        for draw in range(scene.settings.draws):
            luck = np.random.default_rng([scene.seed, draw])
            for each in indices.values():
                each.read(drawn(luck, each.bits, int(luck.binomial(each.bits, rate))))
            hits.append(scene.judge.hits(model))
        at: dict[str, str | float] = {"attack": "index_flip", "storage": "indices", "rate": rate}
        said = f"of {total:,} bits of indices, mean of {scene.settings.draws} draws"
        rows.append(noted(row(ACCURACY, np.stack(hits), "correct", at), said, CAUGHT, scene.judge.told()))
    return rows


class Indices:
    """Where one tensor's values stand, as the compressed format has it: a mask of one bit an element, or
    32-bit positions where they are shorter."""

    def __init__(self, parameter: nn.Parameter) -> None:
        self._parameter = parameter
        flat = parameter.detach().cpu().flatten().numpy()
        self._size, self._places = len(flat), np.flatnonzero(flat)
        self._values = flat[self._places].copy()
        self.form = "mask" if -(-self._size // 8) <= 4 * len(self._places) else "positions"
        self.bits = self._size if self.form == "mask" else 32 * len(self._places)

    def read(self, flips: NDArray[np.int64]) -> None:
        """Give the parameter what a trusting reader makes of the indices with these bits flipped.

        Of a mask the values are laid in its places in their order: one bit more or less shifts all that
        follow; places without a value stay zero. A position beyond the tensor is left out; of two values at
        one place the later stays.
        """
        values = np.zeros(self._size, np.float32)
        if self.form == "mask":
            mask = np.zeros(self._size, bool)
            mask[self._places] = True
            mask[flips] ^= True
            places = np.flatnonzero(mask)[: len(self._values)]
            values[places] = self._values[: len(places)]
        else:
            positions = self._places.astype(np.uint32)
            which, bit = np.divmod(flips, 32)
            np.bitwise_xor.at(positions, which, np.left_shift(np.uint32(1), bit.astype(np.uint32)))
            inside = positions < self._size
            values[positions[inside]] = self._values[inside]
        with torch.no_grad():
            self._parameter.copy_(torch.from_numpy(values).reshape(self._parameter.shape))


ATTACK = TamperingAttack(
    index_flip,
    metrics=(ACCURACY,),
    level="standard",
    cost=2,
    paper="SparseBFA: attacking sparse deep neural networks with the worst-case bit flips on coordinates, "
    "ICASSP 2024",
)
