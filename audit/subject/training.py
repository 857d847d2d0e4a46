"""Training and fine-tuning: the plan's recipe, deterministic from a seed."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attacks.probe import Examples
from audit.plan import TrainPlan


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
    besides: Callable[[Tensor], Tensor] | None = None,
) -> None:
    """Minimise cross-entropy in place; ``model`` maps inputs to logits and ends in eval mode.

    ``prepare`` is handed the optimiser before the first step (pruning holds its zeros there). ``start``,
    ``stop``: only these optimiser steps of the whole training (:func:`steps`), on the batches and with the
    learning rates that they have in the whole. ``further``: epochs after a training, all with the learning
    rate that it ended with. ``besides``: of a batch's logits, what is added to its loss. Shuffling and
    dropout draw from ``seed`` alone, and the global generators are as they were afterwards. Raises
    ArithmeticError if the loss stops being finite.
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
                logits = model(examples.x[batch].to(device))
                loss = F.cross_entropy(logits, examples.y[batch].to(device))
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
