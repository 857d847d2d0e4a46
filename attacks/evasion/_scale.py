"""The size of logits: where they are small, log-odds climb the mean of all classes, not the nearest."""

import math

import torch
from torch import Tensor, nn

from attacks.evasion._losses import margin

LEAST = 4.0
"""The median margin below which attacks grow weaker: on networks whose logits are divided, from here on."""
AIM = 8.0
"""The least median margin after that: a healthy network's, and where attacks are at their strongest."""
SUM = 1e-3
"""How far from 1 probabilities may sum."""


class Magnified(nn.Module):
    """A model's logits times a power of two, which changes no decision and rounds nothing."""

    def __init__(self, model: nn.Module, factor: float) -> None:
        super().__init__()
        self._model, self._factor = model, factor

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, C), at least in float32."""
        outputs: Tensor = self._model(x)
        return outputs.to(torch.promote_types(outputs.dtype, torch.float32)) * self._factor


def bare(model: nn.Module) -> nn.Module:
    """The model without its magnification."""
    return model._model if isinstance(model, Magnified) else model


def factor(model: nn.Module) -> float:
    """How many times its own size the model's logits are."""
    return model._factor if isinstance(model, Magnified) else 1.0


def magnified(model: nn.Module, logits: Tensor, y: Tensor) -> nn.Module:
    """The model, magnified to a median margin of :data:`AIM` to twice that if it has less than :data:`LEAST`.

    ``logits`` (N, C): of examples that it gets right, with labels y. Probabilities are left as they are, for
    :func:`attacks.evasion.health.outputs.softmax_outputs` to see.
    """
    if len(y) == 0 or bool(probabilities(logits).any()):
        return model
    typical = float(margin(logits.float(), y).median())
    if not 0 < typical < LEAST:
        return model
    return times(model, 2.0 ** math.ceil(math.log2(AIM / typical)))


def times(model: nn.Module, factor: float) -> nn.Module:
    """The model, magnified so many times."""
    return model if factor == 1 else Magnified(model, factor)


def probabilities(outputs: Tensor) -> Tensor:
    """Whether outputs lie in [0, 1] and sum to 1, (N,) bool."""
    return (outputs >= 0).all(dim=1) & ((outputs.double().sum(dim=1) - 1).abs() < SUM)
