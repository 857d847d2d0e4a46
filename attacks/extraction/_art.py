"""ART's extraction attacks, given what they silently need.

A victim that answers with probabilities (trained on raw logits as if they were soft labels, copies stay at
chance), batches larger than the default of one, and a surrogate that is called as a whole.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attacks._isolation import global_seed
from attacks.extraction._attack import Theft
from attacks.extraction._settings import Settings

Array = NDArray[np.float32]


class Whole(nn.Module):
    """A module that ART calls as a whole: it would walk the children of an nn.Sequential by itself."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes)."""
        logits: Tensor = self.module(x)
        return logits


class Remembering:
    """The gate as ART calls it. What was asked before is answered from memory, at no cost: ART starts anew at
    every budget."""

    def __init__(self, ask: Callable[[Tensor], Tensor], device: torch.device) -> None:
        self._ask, self._device = ask, device
        self._known: dict[bytes, Array] = {}

    def __call__(self, x: Array) -> Array:
        """Probabilities (N, classes) for inputs (N, …)."""
        keys = [row.tobytes() for row in x]
        new = {key: row for key, row in zip(keys, x, strict=True) if key not in self._known}
        if new:
            answers = self._ask(torch.from_numpy(np.stack(list(new.values()))).to(self._device))
            self._known |= dict(zip(new, answers.cpu().numpy(), strict=True))
        return np.stack([self._known[key] for key in keys])


def classifier(surrogate: nn.Module, theft: Theft, settings: Settings) -> Any:
    """ART's view of a surrogate with logits out, trained by Adam on cross-entropy.

    The loss takes logits on the surrogate's side and whole probability vectors as labels: ART hands
    ``CrossEntropyLoss`` soft labels as they are and reduces one-hot ones to indices, which is the same loss.
    """
    # Imported here: it takes seconds, which a command that attacks nothing should not pay.
    from art.estimators.classification import PyTorchClassifier

    surrogate.requires_grad_(True)
    return PyTorchClassifier(
        Whole(surrogate),
        loss=nn.CrossEntropyLoss(),
        optimizer=torch.optim.Adam(surrogate.parameters(), lr=settings.learning_rate),
        input_shape=tuple(theft.pool.shape[1:]),
        nb_classes=theft.num_classes,
        device_type="gpu" if theft.pool.device.type == "cuda" else "cpu",
    )


def each_budget(
    theft: Theft, settings: Settings, attack: Callable[[Any, dict[str, Any]], Any]
) -> Iterator[nn.Module]:
    """A surrogate trained from scratch by one of ART's attacks for each budget.

    ``attack``: (victim as ART sees it, settings that all of them have) → the attack.
    """
    from art.estimators.classification import BlackBoxClassifier

    shape = tuple(theft.pool.shape[1:])
    query = Remembering(theft.ask, theft.pool.device)
    victim = BlackBoxClassifier(query, input_shape=shape, nb_classes=theft.num_classes)
    for budget in theft.budgets:
        surrogate = theft.fresh()
        common = {
            "batch_size_fit": settings.batch_size,
            "batch_size_query": max(settings.batch_size, 256),
            "nb_epochs": settings.passes(budget),
            "nb_stolen": budget,
        }
        with global_seed(theft.seed, theft.pool.device), torch.enable_grad():
            attack(victim, common).extract(
                theft.pool[:budget].cpu().numpy(), thieved_classifier=classifier(surrogate, theft, settings)
            )
        yield surrogate.eval().requires_grad_(False)
