"""Forward and backward passes, as fast as the processor takes them."""

import torch
from torch import Tensor, nn

from attacks._model import checked

SMALL = 1024
"""Input values of an example: with fewer, examples go through in one piece; with more, in pieces of"""
PIECE = 64
"""so many, whose activations stay in the cache; but with no more than"""
VALUES = 2**20
"""so many values, or those of large images fill the memory: 64 of 224×224 take gigabytes in a ResNet-50."""


def laid_out(x: Tensor) -> Tensor:
    """Images with their channels last: convolutions, and above all their backward passes, are much faster
    so on a CPU, and layers keep the layout. Everything else as it is. (`contiguous` would call images of
    one channel laid out as they are; layers would not.)"""
    return x.to(memory_format=torch.channels_last) if x.ndim == 4 else x


def pieces(x: Tensor) -> tuple[Tensor, ...]:
    """What to send through the model at a time."""
    size = max(1, min(PIECE, VALUES // x[0].numel())) if len(x) else PIECE
    whole = x.device.type != "cpu" or len(x) <= size or x[0].numel() < SMALL
    return (x,) if whole else torch.split(x, size)


@torch.no_grad()
def predict(model: nn.Module, x: Tensor) -> Tensor:
    """Logits (N, C), N at least 1; raises NotFiniteError if one is NaN or infinite."""
    found = [checked(model(laid_out(part))) for part in pieces(x)]
    return found[0] if len(found) == 1 else torch.cat(found)
