"""The model that plan.toml audits: replace this by your own."""

from torch import nn


def build(num_classes: int, input_shape: tuple[int, ...]) -> nn.Module:
    """Return the untrained architecture: inputs (N, *input_shape) in, logits (N, num_classes) out.

    Both arguments are optional: a function without parameters works as well.
    """
    channels, height, width = input_shape
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * (height // 2) * (width // 2), 64),
        nn.ReLU(),
        nn.Linear(64, num_classes),
    )
