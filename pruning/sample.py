"""Labelled examples by which a model is watched at work: training data only, never what it is judged on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pruning.errors import PruningError
from pruning.modes import evaluating

Loss = Callable[[Tensor, Tensor], Tensor]
"""(logits (N, classes), labels (N,)) → the loss of each example, (N,)."""


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each example, (N,)."""
    return F.cross_entropy(logits, labels, reduction="none")


@dataclass(frozen=True, slots=True)
class Sample:
    """Training examples and the loss they are judged by.

    ``x``: (N, …) as the model takes it; ``y``: (N,) labels. ``batch_size`` bounds the memory and changes no
    score: every figure is a sum over examples, taken in eval mode.
    """

    x: Tensor
    y: Tensor
    loss: Loss = cross_entropy
    batch_size: int = 128

    def __post_init__(self) -> None:
        if not len(self.x) == len(self.y) > 0:
            raise PruningError(f"a sample needs as many inputs as labels: {len(self.x)} and {len(self.y)}")

    def batches(self, size: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """The examples in order, in batches of ``size`` (default ``batch_size``)."""
        size = size or self.batch_size
        for start in range(0, len(self.x), size):
            yield self.x[start : start + size], self.y[start : start + size]

    def mean_loss(self, model: nn.Module) -> float:
        """The model's mean loss in eval mode."""
        with evaluating(model), torch.no_grad():
            return sum(float(self.loss(model(x), y).double().sum()) for x, y in self.batches()) / len(self.x)
