"""Training and fine-tuning: the plan's recipe, deterministic from a seed."""

from collections.abc import Callable

import torch
from torch import nn
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
) -> None:
    """Minimise cross-entropy in place; ``model`` maps inputs to logits and ends in eval mode.

    ``prepare`` is handed the optimiser before the first step (pruning holds its zeros there). Shuffling and
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
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for epoch in range(epochs):
            for batch in torch.randperm(len(examples)).split(recipe.batch_size):  # type: ignore[no-untyped-call]
                if len(batch) == 1 < recipe.batch_size and len(examples) > 1:
                    continue  # a lone last example: batch norm cannot learn from it
                loss = F.cross_entropy(model(examples.x[batch].to(device)), examples.y[batch].to(device))
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
            if not torch.isfinite(loss):
                raise ArithmeticError(
                    f"the training loss is {loss.item()} after epoch {epoch + 1}: lower [train] learning_rate"
                )
    model.eval()
