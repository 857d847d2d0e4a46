"""What is asked of a model about each example: the input itself, noisy copies, shifts and a flip."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from attacks._model import logits_of, matched
from attacks.membership._attack import Floats
from attacks.probe import Target

SEED = 20
"""Of the noise: the same for every model, so that models are compared under the same noise."""


def images(x: Tensor) -> bool:
    """Whether inputs (N, …) are images: (N, channels, height, width)."""
    return x.ndim == 4 and min(x.shape[2:]) >= 3


def shifts_and_flip(x: Tensor) -> Iterator[Tensor]:
    """The images as they are, shifted by one pixel in four directions (edges repeated), and mirrored."""
    yield x
    height, width = x.shape[2:]
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    for down, right in ((0, 1), (2, 1), (1, 0), (1, 2)):
        yield padded[:, :, down : down + height, right : right + width]
    yield x.flip(3)


def noisy(x: Tensor, scale: float, draws: int, bounds: tuple[float, float]) -> Iterator[Tensor]:
    """Copies with Gaussian noise of that standard deviation, inside the bounds."""
    generator = torch.Generator().manual_seed(SEED)
    for _ in range(draws):
        yield (x + scale * torch.randn(x.shape, generator=generator)).clamp(*bounds)


def asked(target: Target, queries: Iterator[Tensor]) -> Floats:
    """The model's logits on each query, (N, queries, classes)."""
    answers = [
        matched(logits_of(target.model, x, batch_size=target.batch_size, device=target.device), target)
        for x in queries
    ]
    return torch.stack(answers, dim=1).double().numpy().astype(np.float64)
