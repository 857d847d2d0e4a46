"""States that hold for a while and are put back: a model in eval mode, torch on one thread."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def evaluating(*models: nn.Module) -> Iterator[None]:
    """Eval mode inside the block; afterwards every submodule has its own earlier mode again."""
    modes = [(module, module.training) for model in models for module in model.modules()]
    try:
        for model in models:
            model.eval()
        yield
    finally:
        for module, training in modes:
            module.training = training


def examples(example_input: Tensor) -> list[Tensor]:
    """Inputs of one example that tell how a model is built, the cheapest first.

    Of large images a half, which many models take as well; then ``example_input`` (N, …) itself, its first.
    """
    one = example_input[:1]
    if one.dim() == 4 and min(one.shape[2:]) >= 128:
        height, width = (side // 64 * 32 for side in one.shape[2:])
        return [one[:, :, :height, :width], one]
    return [one]


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread: timings compare, and results do not depend on the thread count."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
