"""Pruning in rounds beside pruning at once, each budget of fine-tuning named.

    python benchmarks/iterative.py

The digits CNN, trained once a seed, its smallest weights zeroed to each sparsity: at once and fine-tuned for
``--finetune`` epochs; in five rounds that share as many epochs; in five rounds of as many epochs each (what
Han et al. 2015 do); and at once, fine-tuned for as many epochs as all those rounds together. Rounds are to be
compared with what trains as long: the first two rows are one budget, the last two another. Prints the mean
test accuracy over the seeds with its standard error, and the paired difference of rounds minus at once.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

import torch
from criteria import accuracy
from torch import Tensor, nn

from audit.means import means
from audit.plan import parse
from audit.subject import data as subject_data
from audit.subject import models, training
from pruning.masks import Masks
from pruning.modes import one_thread
from pruning.procedure import follow
from pruning.prune import Pruned, prune
from pruning.recipe import Recipe

ROUNDS = 5
WAYS = {  # name → recipe, and how many times the budget it is fine-tuned for
    "at once": (Recipe(), 1),
    "rounds, shared": (Recipe(schedule="iterative", steps=ROUNDS, epochs_per_round="shared"), 1),
    "at once, longer": (Recipe(), ROUNDS),
    "rounds, all": (Recipe(schedule="iterative", steps=ROUNDS), 1),
}


def main() -> None:
    """Train, prune in each way, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5, help="trainings of the network (5)")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of each (20)")
    parser.add_argument("--finetune", type=int, default=2, help="epochs of one budget of fine-tuning (2)")
    parser.add_argument("--sparsities", type=float, nargs="+", default=[0.9, 0.95, 0.98])
    options = parser.parse_args()
    found: dict[tuple[str, float], list[float]] = {}
    with one_thread():
        for seed in range(options.seeds):
            for key, value in measured(seed, options.epochs, options.finetune, options.sparsities).items():
                found.setdefault(key, []).append(value)
    print("".ljust(18), *(f"{sparsity:^15}" for sparsity in options.sparsities))
    for name, (_, times) in WAYS.items():
        total = options.finetune * (ROUNDS if name == "rounds, all" else times)
        row = (figure([100 * value for value in found[name, s]]) for s in options.sparsities)
        print(name.ljust(18), *row, f"  {total} epochs")
    for many, once in (("rounds, shared", "at once"), ("rounds, all", "at once, longer")):
        pairs = ([100 * (a - b) for a, b in zip(found[many, s], found[once, s], strict=True)]
                 for s in options.sparsities)  # fmt: skip
        print(f"{many} − {once}:", *(figure(pair, signed=True) for pair in pairs))


def measured(
    seed: int, epochs: int, finetune: int, sparsities: Sequence[float]
) -> dict[tuple[str, float], float]:
    """Test accuracy by way and sparsity of one training."""
    found: dict[tuple[str, float], float] = {}
    for name, (recipe, times) in WAYS.items():
        plan = parse(
            {
                "model": {"build": "audit.zoo:digits_cnn"},
                "data": {"source": "digits", "audit_examples": 897},
                "train": {"epochs": epochs, "batch_size": 32, "learning_rate": 2e-3},
                "pruning": {"methods": ["global-magnitude"], "finetune_epochs": finetune * times},
            },
            Path("iterative.toml"),
        )
        data = subject_data.load(plan)
        assert data.train is not None
        assert plan.train is not None
        example = data.test.x[:1]
        if not found:
            dense = models.fresh(models.builder(plan, data), seed)
            training.train(dense, data.train, plan.train, epochs=epochs, seed=seed)
        cut = OneShot(recipe, example, seed)
        with_these = means(plan, data, "cpu", cut, recipe, seed=seed + 1000, origin=seed)
        for sparsity in sparsities:
            pruned = follow(dense, recipe, sparsity, with_these, example)
            found[name, sparsity] = accuracy(pruned.model, data.test)
    return found


class OneShot:
    """One cut by a recipe."""

    def __init__(self, recipe: Recipe, example: Tensor, seed: int) -> None:
        self.recipe, self.example = recipe, example
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, model: nn.Module, sparsity: float | None, kept: Masks | None = None) -> Pruned:
        """As :class:`pruning.procedure.Prune` has it."""
        return prune(
            model, self.recipe, sparsity, example_input=self.example, generator=self.generator, kept=kept
        )


def figure(values: Sequence[float], *, signed: bool = False) -> str:
    """Mean and its standard error over the seeds."""
    error = stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{mean(values):{'+' if signed else ''}.1f} ± {error:.1f}".center(15)


if __name__ == "__main__":
    main()
