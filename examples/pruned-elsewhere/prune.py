"""Trains a small net on scikit-learn's digits and prunes it with two other tools, as their own users would.

Writes beside itself: digits.npz, dense.pt, and what ``torch.nn.utils.prune`` and torch-pruning (which wants
``pip install torch-pruning``) make of it, each as that tool's documents have one save it. Nothing is fetched;
it takes some seconds. plan.toml audits the three.
"""

import copy
from pathlib import Path

import numpy as np
import torch
import torch_pruning
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

HERE = Path(__file__).parent
SHARE = 0.5
"""Of the weights for torch's pruner; of the channels for torch-pruning's."""


def build(num_classes: int = 10) -> nn.Module:
    """The dense net; plan.toml names it."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 4 * 4, 64), nn.ReLU(), nn.Linear(64, num_classes),
    )  # fmt: skip


def train(model: nn.Module, x: torch.Tensor, y: torch.Tensor, epochs: int) -> None:
    """Adam, 64 examples a batch."""
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            optimiser.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()
            optimiser.step()


def by_torch(dense: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
    """Unstructured magnitude; the masks stay on while fine-tuning, and in the file."""
    model = copy.deepcopy(dense)
    layers = [(m, "weight") for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    prune.global_unstructured(layers, pruning_method=prune.L1Unstructured, amount=SHARE)
    train(model, x, y, epochs=2)
    torch.save(model.state_dict(), HERE / "torch-prune.pt")


def by_torch_pruning(dense: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
    """Filters and neurons of smallest norm removed; the file holds the history, as torch-pruning has it."""
    model = copy.deepcopy(dense)
    pruner = torch_pruning.pruner.MagnitudePruner(
        model, x[:1], torch_pruning.importance.MagnitudeImportance(p=2),
        pruning_ratio=SHARE, ignored_layers=[model[-1]],
    )  # fmt: skip
    pruner.step()
    train(model, x, y, epochs=2)
    torch.save({"model": model.state_dict(), "pruning": pruner.pruning_history()}, HERE / "torch-pruning.pth")


def main() -> None:
    """Make all files anew."""
    torch.manual_seed(0)
    digits = load_digits()
    images = (digits.images[:, None] / 16).astype("float32")
    order = np.random.default_rng(0).permutation(len(images))
    members, others = order[:900], order[900:]
    np.savez(
        HERE / "digits.npz",
        x_train=images[members], y_train=digits.target[members],
        x_test=images[others], y_test=digits.target[others],
    )  # fmt: skip
    x, y = torch.from_numpy(images[members]), torch.from_numpy(digits.target[members])
    dense = build()
    train(dense, x, y, epochs=10)
    torch.save(dense.state_dict(), HERE / "dense.pt")
    by_torch(dense, x, y)
    by_torch_pruning(dense, x, y)


if __name__ == "__main__":
    main()
