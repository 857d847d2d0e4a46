"""A procedure's means on a toy model, with a record of what was done with them."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pruning import prunable
from pruning.masks import Masks
from pruning.procedure import Means, Prepare, Training, follow
from pruning.prune import Pruned, prune
from pruning.recipe import Recipe
from pruning.sample import Sample

OPTIMISERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, weight_decay=1e-2),
    "adam": lambda p: torch.optim.Adam(p, lr=1e-2, weight_decay=1e-3),
}


class Lab:
    """Everything a procedure is handed, and a record of what it does with it."""

    def __init__(self, model: nn.Module, x: Tensor, *, optimiser: str = "adam", steps: int = 12) -> None:
        self.dense, self.x, self.optimiser, self.steps = model, x, optimiser, steps
        with torch.no_grad():
            self.y = torch.arange(len(x)) % model(x).shape[1]
        self.pruned: list[Pruned] = []
        self.trained: list[tuple[int, int]] = []
        self.seen: list[dict[str, Tensor]] = []
        """The prunable weights after each step of training."""
        self.moments: list[int] = []
        """The optimiser's own count of steps after each part."""

    def run(self, model: nn.Module, start: int, stop: int, prepare: Prepare) -> None:
        optimiser = OPTIMISERS[self.optimiser](model.parameters())
        prepare(optimiser)
        model.train()
        for _ in range(start, stop):
            optimiser.zero_grad()
            F.cross_entropy(model(self.x), self.y).backward()
            optimiser.step()
            self.seen.append({n: w.detach().clone() for n, w in prunable.weights(model).items()})
        model.eval()
        self.trained.append((start, stop))
        states = list(optimiser.state.values())
        self.moments.append(int(states[0]["step"]) if "step" in states[0] else 0)

    def early(self, step: int) -> nn.Module:
        model = copy.deepcopy(self.dense)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1.0 + step)  # recognisable
        return model

    def follow(self, recipe: Recipe, sparsity: float | None, **without: None) -> Pruned:
        generator, sample = torch.Generator().manual_seed(0), Sample(self.x, self.y)

        def one_shot(model: nn.Module, share: float | None, kept: Masks | None = None) -> Pruned:
            self.pruned.append(prune(
                model, recipe, share, example_input=self.x, generator=generator, sample=sample, kept=kept
            ))  # fmt: skip
            return self.pruned[-1]

        training = Training(self.run, self.steps, 3) if self.steps else None
        means = {
            "finetune": training,
            "original": training,
            "early": self.early,
            "recalibrate": None,
            **without,
        }
        return follow(self.dense, recipe, sparsity, Means(one_shot, **means), self.x)


def total(model: nn.Module) -> int:
    return sum(w.numel() for w in prunable.weights(model).values())


def zeros(weights: dict[str, Tensor]) -> int:
    return sum(int((w == 0).sum()) for w in weights.values())


def small(seed: int = 0, norm: bool = True) -> tuple[nn.Module, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3), *([nn.BatchNorm2d(6)] if norm else []), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(32, 10), nn.ReLU(), nn.Linear(10, 4),
    )  # fmt: skip
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4, generator=generator)
    return model.eval(), torch.rand(12, 1, 6, 6, generator=generator)
