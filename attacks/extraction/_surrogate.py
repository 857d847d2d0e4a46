"""The surrogate as the Adversarial Robustness Toolbox (ART) trains it."""

from typing import Any

import torch
from torch import Tensor, nn

from attacks.extraction._settings import Settings


class Whole(nn.Module):
    """A module that ART calls as a whole: it would walk the children of an nn.Sequential by itself."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes)."""
        logits: Tensor = self.module(x)
        return logits


def art_classifier(
    surrogate: nn.Module,
    input_shape: tuple[int, ...],
    num_classes: int,
    device: torch.device,
    settings: Settings,
) -> Any:
    """ART's view of a surrogate with logits out, trained by Adam on cross-entropy.

    The loss takes logits on the surrogate's side and whole probability vectors as labels: ART hands
    ``CrossEntropyLoss`` soft labels as they are and reduces one-hot ones to indices, which is the same loss.
    """
    # Imported here: it takes seconds, which a command that attacks nothing should not pay.
    from art.estimators.classification import PyTorchClassifier

    surrogate.to(device).requires_grad_(True)
    return PyTorchClassifier(
        Whole(surrogate),
        loss=nn.CrossEntropyLoss(),
        optimizer=torch.optim.Adam(surrogate.parameters(), lr=settings.learning_rate),
        input_shape=input_shape,
        nb_classes=num_classes,
        device_type="gpu" if device.type == "cuda" else "cpu",
    )
