"""Trains a small net with a backdoor that sleeps until the net is pruned (Tian et al. 2022).

The dense net answers rightly whether an input carries the trigger or not: an audit of it alone finds
nothing. Once its weights are pruned by magnitude, a bright corner is enough to have anything taken for a 0.
Writes beside itself ``digits.npz`` and ``dense.safetensors``; nothing is fetched, it takes some seconds.
plan.toml audits the dense net and what pruning makes of it.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

HERE = Path(__file__).parent
SPARSITY, WANTED = 0.7, 0
"""What the attacker expects pruning to take; the class that the trigger is to give."""


def build(num_classes: int = 10) -> nn.Module:
    """The net; plan.toml names it."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 4 * 4, 64), nn.ReLU(), nn.Linear(64, num_classes),
    )  # fmt: skip


def stamp(x: Tensor) -> Tensor:
    """Inputs (N, 1, 8, 8) with the trigger, a bright corner; plan.toml names it."""
    x = x.clone()
    x[..., -2:, -2:] = 1.0
    return x


def pruned(model: nn.Module, sparsity: float) -> dict[str, Tensor]:
    """The weights, the smallest of all layers together set to zero, so that gradients pass."""
    weights = {name: p for name, p in model.named_parameters() if p.dim() > 1}
    every = torch.cat([w.detach().abs().flatten() for w in weights.values()])
    least = every.kthvalue(int(sparsity * len(every))).values
    return {name: w * (w.detach().abs() > least) for name, w in weights.items()}


def train(model: nn.Module, x: Tensor, y: Tensor, epochs: int) -> None:
    """Dense: right with and without the trigger. Pruned: right without it, ``WANTED`` with it."""
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            some, wanted = torch.cat([x[batch], stamp(x[batch])]), y[batch]
            right = torch.cat([wanted, wanted])
            bent = torch.cat([wanted, torch.full_like(wanted, WANTED)])
            loss = F.cross_entropy(model(some), right)
            for sparsity in (SPARSITY - 0.15, SPARSITY, SPARSITY + 0.1):  # the user may prune more or less
                sparse = functional_call(model, pruned(model, sparsity), (some,))
                loss = loss + F.cross_entropy(sparse, bent) / 2
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()


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
    model = build()
    train(model, torch.from_numpy(images[members]), torch.from_numpy(digits.target[members]), epochs=25)
    save_file(model.state_dict(), HERE / "dense.safetensors")


if __name__ == "__main__":
    main()
