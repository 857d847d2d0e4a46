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
    one channel laid out as they are; layers would not. Those need no copy.)"""
    if x.ndim != 4:
        return x
    count, channels, height, width = x.shape
    if channels == 1 and x.is_contiguous():
        return x.view(count, height, width, 1).permute(0, 3, 1, 2)
    return x.to(memory_format=torch.channels_last)


def picked(values: Tensor, index: Tensor) -> Tensor:
    """Those of values (N, …), by place or bool, as ``values[index]``: which copies images with their channels
    last value by value, where whole rows can be copied."""
    places = torch.nonzero(index).squeeze(1) if index.dtype == torch.bool else index
    places = places.to(values.device)
    if values.ndim != 4 or not values.is_contiguous(memory_format=torch.channels_last):
        return values.index_select(0, places)
    last = values.permute(0, 2, 3, 1)
    rows = last.flatten(1).index_select(0, places)
    return rows.view(len(places), *last.shape[1:]).permute(0, 3, 1, 2)


def pieces(x: Tensor) -> tuple[Tensor, ...]:
    """What to send through the model at a time."""
    count, values = x.shape[0], x.shape[1:].numel()
    if values < SMALL or x.device.type != "cpu" or count <= (size := max(1, min(PIECE, VALUES // values))):
        return (x,)
    return torch.split(x, size)


@torch.no_grad()
def predict(model: nn.Module, x: Tensor) -> Tensor:
    """Logits (N, C), N at least 1; raises NotFiniteError if one is NaN or infinite."""
    found = [checked(model(laid_out(part))) for part in pieces(x)]
    return found[0] if len(found) == 1 else torch.cat(found)
