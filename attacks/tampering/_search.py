"""Progressive bit search (Rakin et al. 2019), in int8: the bit whose flip hurts most, again and again."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attacks.probe import Examples
from attacks.tampering._attack import Loss
from attacks.tampering._judge import Hits, Judge
from attacks.tampering._weights import Flip, Stored


def _table(up: bool) -> tuple[Tensor, Tensor]:
    """For each code (by its unsigned byte): by how much one flip moves it up, or down, at most; which bit.

    In two's complement bit b < 7 is worth 2^b, and bit 7 −128. Where no bit moves it that way the step is 0.
    """
    code = np.arange(256)[:, None]
    worth = np.array([1, 2, 4, 8, 16, 32, 64, -128])
    is_set = (code >> np.arange(8)) & 1
    step = np.where(is_set == 1, -worth, worth) * (1 if up else -1)
    return torch.tensor(step.max(axis=1).clip(0), dtype=torch.float32), torch.tensor(step.argmax(axis=1))


UP, DOWN = _table(up=True), _table(up=False)


class Search:
    """One attacker at work on one stored model: it flips the bits that raise its loss.

    Each step takes the gradient of the loss once, finds in every layer the bits whose flips raise it most to
    first order, tries ``tries`` of them for real (the best of each layer, then the next best of all), and
    keeps the one with the largest loss. A weight is touched once, so that the count of flips is what differs
    in the end.
    """

    def __init__(self, stored: Stored, batch: Examples, loss: Loss, tries: int) -> None:
        """``stored``: in int8, as it was; ``batch``: on its device."""
        self.stored, self.flips = stored, list[Flip]()
        self._batch, self._loss, self._tries = batch, loss, tries
        self._touched: list[list[int]] = [[] for _ in stored.layers]

    def step(self) -> float:
        """Flip one more bit; the loss after it."""
        flips = [flip for _, flip in self.candidates()]
        loss, flip = max(((self._tried(flip), flip) for flip in flips), key=lambda pair: pair[0])
        self.stored.flip(flip)
        self.flips.append(flip)
        self._touched[flip.layer].append(flip.place)
        return loss

    def candidates(self) -> list[tuple[float, Flip]]:
        """(rise of the loss to first order, flip): the best of the layers, then the next best of all."""
        best, others = list[tuple[float, Flip]](), list[tuple[float, Flip]]()
        for number, slope in enumerate(self.slopes()):
            layer = self.stored.layers[number]
            bytes_ = torch.from_numpy(layer.codes.view(np.uint8)).int()
            rises = layer.scale * torch.where(slope > 0, slope * UP[0][bytes_], -slope * DOWN[0][bytes_])
            rises[self._touched[number]] = -torch.inf
            values, places = rises.topk(min(self._tries, len(rises)))
            mine = [
                (value, Flip(number, place, int((UP if slope[place] > 0 else DOWN)[1][bytes_[place]])))
                for value, place in zip(values.tolist(), places.tolist(), strict=True)
            ]
            best, others = [*best, mine[0]], [*others, *mine[1:]]
        return [*sorted(best, reverse=True), *sorted(others, reverse=True)][: self._tries]

    def slopes(self) -> list[Tensor]:
        """The loss's gradient by every surviving weight, layer by layer, on the CPU: one backward pass."""
        weights = [layer.parameter for layer in self.stored.layers]
        for weight in weights:
            weight.requires_grad_(True)
        loss = self._loss(self.stored.model(self._batch.x))
        found = torch.autograd.grad(loss, weights, allow_unused=True)
        for weight in weights:
            weight.requires_grad_(False)
        return [
            torch.zeros(len(layer.codes)) if g is None else g.flatten()[layer.places].nan_to_num().cpu()
            for g, layer in zip(found, self.stored.layers, strict=True)
        ]

    @torch.no_grad()
    def _tried(self, flip: Flip) -> float:
        """The loss with one more flip."""
        self.stored.flip(flip)
        loss = float(self._loss(self.stored.model(self._batch.x)))
        self.stored.flip(flip)
        return loss if np.isfinite(loss) else np.inf


class Runs:
    """Attackers of one kind, each with a sequence of changes to one model, judged after so many of them."""

    def __init__(self, judge: Judge, stored: Stored, put: Sequence[Callable[[int], None]]) -> None:
        """``put``: of each attacker, what gives the untouched model its first k changes."""
        self._judge, self._stored, self._put = judge, stored, put
        self._known: dict[tuple[int, int], NDArray[np.bool_]] = {}

    def hits(self, attacker: int, k: int) -> NDArray[np.bool_]:
        """What is right after the first k changes of one attacker, (n,)."""
        if (attacker, k) not in self._known:
            self._stored.restore()
            self._put[attacker](k)
            self._known[attacker, k] = self._judge.hits(self._stored.model)
        return self._known[attacker, k]

    def curve(self, k: int) -> Hits:
        """The same of all attackers, (attackers, n)."""
        return np.stack([self.hits(i, k) for i in range(len(self._put))])
