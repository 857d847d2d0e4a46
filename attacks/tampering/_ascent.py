"""Small changes of many weights: gradient steps in weight space, held to a ball."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from attacks.probe import Examples
from attacks.tampering._attack import Loss
from attacks.tampering._settings import Where
from attacks.tampering._weights import UnfitError, parameters

Norm = Literal["l2", "linf"]


class Change:
    """A change δ of a model's weights, in place; only of what ``where`` allows."""

    def __init__(self, model: nn.Module, where: Where) -> None:
        """Raises UnfitError as :func:`attacks.tampering._weights.parameters`, and where no weight is left."""
        self.model = model
        self._weights: list[Tensor] = list(parameters(model).values())
        self._start = [w.detach().clone() for w in self._weights]
        self._allowed = [None if where == "anywhere" else w != 0 for w in self._start]
        self.delta = [torch.zeros_like(w) for w in self._start]
        if not any(bool(w.any()) for w in self._start):
            raise UnfitError("all weights are zero: there is nothing to measure a change by")

    def length(self, norm: Norm) -> float:
        """Of the weights themselves: what a relative change is relative to."""
        return length(self._start, norm)

    @property
    def root(self) -> float:
        """Root mean square of the weights that are not zero."""
        return self.length("l2") / math.sqrt(max(1, sum(int((w != 0).sum()) for w in self._start)))

    def uphill(self, batch: Examples, loss: Loss) -> list[Tensor]:
        """The loss's gradient by the weights that may change; no numbers become 0."""
        for w in self._weights:
            w.requires_grad_(True)
        slopes = torch.autograd.grad(loss(self.model(batch.x)), self._weights, allow_unused=True)
        for w in self._weights:
            w.requires_grad_(False)
        found = []
        for slope, w, allowed in zip(slopes, self._start, self._allowed, strict=True):
            g = torch.zeros_like(w) if slope is None else slope.nan_to_num(0.0, 0.0, 0.0)
            found.append(g if allowed is None else g.masked_fill(~allowed, 0.0))
        return found

    def climb(self, batch: Examples, loss: Loss, norm: Norm, radius: float, steps: int) -> None:
        """Raise the loss by so many steps, from δ as it stands, within the ball of that radius: steps along
        the gradient (L2) or its sign (L∞), each of 1.5 / ``steps`` of the radius, and back to the ball."""
        reach = 1.5 * radius / steps
        for _ in range(steps):
            slopes = self.uphill(batch, loss)
            size = length(slopes, "l2")
            if size == 0:
                break
            for d, g in zip(self.delta, slopes, strict=True):
                d += reach * (g.sign() if norm == "linf" else g / size)
            if norm == "linf":
                for d in self.delta:
                    d.clamp_(-radius, radius)
            elif (far := length(self.delta, "l2")) > radius:
                for d in self.delta:
                    d *= radius / far
            self.put()

    @torch.no_grad()
    def put(self, share: float = 1.0) -> None:
        """Give the model so much of δ."""
        for w, start, d in zip(self._weights, self._start, self.delta, strict=True):
            w.copy_(start + share * d)

    def filled(self) -> tuple[int, int]:
        """(pruned weights that are no longer zero, pruned weights)."""
        zeros = [start == 0 for start in self._start]
        full = sum(int((w[z] != 0).sum()) for w, z in zip(self._weights, zeros, strict=True))
        return full, sum(int(z.sum()) for z in zeros)

    def relative(self, norm: Norm) -> float:
        """The change that the model has, over the weights' own length."""
        pairs = zip(self._weights, self._start, strict=True)
        return length([w.detach() - start for w, start in pairs], norm) / self.length(norm)


def length(tensors: Sequence[Tensor], norm: Norm) -> float:
    """Of all the tensors together."""
    if norm == "linf":
        return max(float(t.abs().max()) for t in tensors)
    return math.sqrt(sum(float(t.double().square().sum()) for t in tensors))
