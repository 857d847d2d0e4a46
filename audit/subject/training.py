"""Training and fine-tuning: the plan's recipe, deterministic from a seed."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attacks.evasion import worst
from attacks.probe import Examples
from audit.plan import DataPlan, TrainPlan


def train(
    model: nn.Module,
    examples: Examples,
    recipe: TrainPlan,
    *,
    epochs: int,
    seed: int,
    prepare: Callable[[torch.optim.Optimizer], object] = lambda optimiser: None,
    start: int = 0,
    stop: int | None = None,
    further: bool = False,
    bounds: tuple[float, float] | None = None,
    besides: Callable[[Tensor], Tensor] | None = None,
) -> None:
    """Minimise cross-entropy in place; ``model`` maps inputs to logits and ends in eval mode.

    ``prepare`` is handed the optimiser before the first step (pruning holds its zeros there). ``start``,
    ``stop``: only these optimiser steps of the whole training (:func:`steps`), on the batches and with the
    learning rates that they have in the whole. ``further``: epochs after a training, all with the learning
    rate that it ended with. ``bounds``: of the inputs, which adversarial training stays in. ``besides``: of a
    batch's logits, what is added to its loss. Shuffling, dropout and attacks draw from ``seed`` alone, and
    the global generators are as they were afterwards. Raises ArithmeticError if the loss stops being finite.
    """
    device = next(model.parameters()).device
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser: torch.optim.Optimizer
    if recipe.optimiser == "adam":
        optimiser = torch.optim.Adam(parameters, recipe.learning_rate, weight_decay=recipe.weight_decay)
    else:
        optimiser = torch.optim.SGD(
            parameters, recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )
    prepare(optimiser)
    model.train()
    step = -1
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for epoch in range(epochs):
            rate = learning_rate(recipe, recipe.epochs - 1 if further else epoch)
            loss = None
            for batch in torch.randperm(len(examples)).split(recipe.batch_size):  # type: ignore[no-untyped-call]
                if _lone(len(batch), len(examples), recipe.batch_size):
                    continue
                step += 1
                if step < start or (stop is not None and step >= stop):
                    continue
                for group in optimiser.param_groups:
                    group["lr"] = rate
                x, y = examples.x[batch].to(device), examples.y[batch].to(device)
                logits = model(_attacked(model, x, y, recipe, bounds, seed + step))
                loss = F.cross_entropy(logits, y)
                if besides is not None:
                    loss = loss + besides(logits)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
            if loss is not None and not torch.isfinite(loss):
                raise ArithmeticError(
                    f"the training loss is {loss.item()} after epoch {epoch + 1}: lower [train] learning_rate"
                )
    model.eval()


def _attacked(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    recipe: TrainPlan,
    bounds: tuple[float, float] | None,
    seed: int,
) -> Tensor:
    """What a batch is trained on: itself, or what adversarial training puts in its place.

    The search sees the model in eval mode, so that batch norm's running statistics come from what is trained
    on alone; its luck follows from ``seed``, so that a training in parts meets that of the whole.
    """
    if recipe.adversarial is None:
        return x
    if bounds is None:
        raise ValueError("adversarial training needs the bounds of the inputs")
    attack = recipe.adversarial
    model.eval()
    found = worst(model, x, y, norm=attack.norm, eps=attack.eps, steps=attack.steps, bounds=bounds, seed=seed)
    model.train()
    return found


def problem(recipe: TrainPlan, data: DataPlan) -> str:
    """Why a recipe cannot be followed on that data; empty if it can."""
    if recipe.adversarial is None:
        return ""
    width = data.bounds[1] - data.bounds[0]
    if data.features is not None:
        return (
            "moves every input value alike, and [data.features] says that they are not: remove one of the two"
        )
    if recipe.adversarial.norm == "linf" and recipe.adversarial.eps > width:
        return (
            f"eps {recipe.adversarial.eps:g} is larger than the width of [data] bounds: it is in input units"
        )
    return ""


def steps(examples: int, recipe: TrainPlan, epochs: int) -> int:
    """Optimiser steps of so many epochs."""
    batches = -(-examples // recipe.batch_size)
    return epochs * (batches - _lone(examples % recipe.batch_size, examples, recipe.batch_size))


def learning_rate(recipe: TrainPlan, epoch: int) -> float:
    """That of an epoch, counted from 0; with ``decay``, a tenth after half of the epochs, again after ¾."""
    if recipe.decay == "none":
        return recipe.learning_rate
    return recipe.learning_rate * 0.1 ** ((2 * epoch >= recipe.epochs) + (4 * epoch >= 3 * recipe.epochs))


def _lone(batch: int, examples: int, batch_size: int) -> bool:
    """Whether a batch is a lone last example, which is left out: batch norm cannot learn from it."""
    return batch == 1 < batch_size and examples > 1
