"""What pruning is handed of a plan: its trainings, early weights of its dense model, its training data."""

from functools import partial

import torch
from torch import nn

from audit.plan import Plan
from audit.subject import fitting, models, training
from audit.subject.data import Data
from pruning import schedule
from pruning.defence import posterior_balancing
from pruning.procedure import Means, Prepare, Prune, Training
from pruning.recipe import Recipe
from pruning.recovery import recalibrate

CALIBRATION_BATCH = 128
"""Examples in a batch where the plan does not say how the model was trained."""


def trained(
    plan: Plan,
    data: Data,
    device: str,
    *,
    seed: int,
    epochs: int,
    further: bool,
    balancing: float | None = None,
) -> Training | None:
    """A training of a bare model in place, seen through the plan's normalisation; None without a recipe.

    ``further``: epochs after the training that made the model. ``balancing``: weight of
    :func:`pruning.defence.posterior_balancing` in their loss. Raises ValueError if there is nothing to train
    on.
    """
    recipe = plan.train
    if recipe is None or not epochs:
        return None
    examples = data.train
    if examples is None:
        raise ValueError(
            "the data has no training examples to train or fine-tune on; set [pruning] finetune_epochs = 0"
        )

    if (function := fitting.fit_of(plan)) is not None:
        return _fitted(function, plan, data, device, seed=seed, epochs=epochs, further=further)
    besides = None if balancing is None else partial(posterior_balancing, weight=balancing)

    def run(inner: nn.Module, start: int, stop: int, prepare: Prepare) -> None:
        whole = models.wrap(inner, plan, data).requires_grad_(True).to(device)
        training.train(
            whole, examples, recipe, epochs=epochs, seed=seed, prepare=prepare, start=start, stop=stop,
            further=further, bounds=data.bounds, besides=besides,
        )  # fmt: skip
        inner.to("cpu")

    return Training(run, training.steps(len(examples), recipe, epochs), epochs)


def _fitted(
    function: fitting.Fit, plan: Plan, data: Data, device: str, *, seed: int, epochs: int, further: bool
) -> Training:
    """A training of the user's own: its steps are epochs, and each part is a training by itself."""
    examples = data.train
    assert examples is not None

    def run(inner: nn.Module, start: int, stop: int, prepare: Prepare) -> None:
        if start >= stop:
            return
        whole = models.wrap(inner, plan, data).requires_grad_(True).to(device)
        fitting.fit(
            function, whole, examples,
            epochs=stop - start, seed=seed + start, further=further, prepare=prepare,
        )  # fmt: skip
        inner.to("cpu")

    return Training(run, epochs, epochs, carries=False)


def means(
    plan: Plan, data: Data, device: str, prune: Prune, recipe: Recipe, *, seed: int, origin: int
) -> Means:
    """What a variant is pruned with. ``seed``: of the variant; ``origin``: of its dense model."""
    known = not plan.model.given and data.train is not None  # we trained it, so that we can again
    original = None
    if plan.train is not None and data.train is not None:
        original = trained(plan, data, device, seed=origin, epochs=plan.train.epochs, further=False)

    def early(step: int) -> nn.Module:
        assert original is not None
        model = models.fresh(models.builder(plan, data), origin)
        original.run(model, 0, step, lambda optimiser: None)
        return model

    def anew(inner: nn.Module) -> None:
        assert data.train is not None
        size = plan.train.batch_size if plan.train is not None else CALIBRATION_BATCH
        whole = models.wrap(inner, plan, data).to(device)
        recalibrate(whole, (batch.to(device) for batch in torch.split(data.train.x, size)))
        inner.to("cpu")

    return Means(
        prune,
        trained(
            plan,
            data,
            device,
            seed=seed,
            epochs=schedule.epochs(recipe, plan.finetune_epochs),
            further=True,
            balancing=recipe.balancing,
        ),
        original,
        early if known else None,
        anew if data.train is not None else None,
    )


def problems(plan: Plan, data: Data) -> list[str]:
    """Why recipes of the plan cannot be followed with its model and data: one sentence each."""
    found: list[str] = []
    if plan.pruning is None:
        return found
    for name, recipe in plan.pruning.recipes.items():
        if recipe.rewind == "weights" and plan.model.weights is not None:
            found.append(
                f"{name}: rewinds weights to early training, and a model given by its weights has no early "
                "training: drop [model] weights so that [train] makes the model, or rewind only the learning "
                "rate ('lr-rewind')"
            )
        elif recipe.initial is not None and recipe.initial > min(plan.pruning.sparsities):
            found.append(
                f"{name}: its schedule starts with sparsity {recipe.initial:g}, above the wanted "
                f"{min(plan.pruning.sparsities):g}: lower initial, or leave that sparsity out"
            )
        elif plan.train is not None and plan.train.fit is not None and (recipe.rewind_to or recipe.balancing):
            what = "starts in the midst of" if recipe.rewind_to else "adds to the loss of"
            found.append(
                f"{name}: {what} the training, and [train] fit is a whole that cannot be entered: drop it"
            )
        elif recipe.rewind is not None and plan.train is None:
            found.append(f"{name}: repeats the training that made the model: say in [train] how it was made")
        elif (recipe.rewind is not None or recipe.recovery == "batch-norm") and data.train is None:
            found.append(f"{name}: needs training examples, and the data has none")
    return found


def trained_for(plan: Plan, recipe: Recipe | None, made: Means | None = None) -> str:
    """How a variant was trained after its dense model was, for people; None: ``dense-finetuned``."""
    by = " by [train] fit" if plan.train is not None and plan.train.fit is not None else ""
    if recipe is None:
        return f"{plan.control_epochs} further epochs{by}"
    if recipe.rewind is not None and made is not None and made.original is not None:
        rounds, steps = recipe.steps or 1, made.original.steps
        first = round((recipe.rewind_to or 0.0) * steps)
        unit = "epochs" if by else "optimiser steps"
        return f"{rounds} × {unit} {first} to {steps} of the dense training again{by}"
    epochs = schedule.epochs(recipe, plan.finetune_epochs)
    how = "" if recipe.balancing is None else f" with posteriors balanced in pairs, λ = {recipe.balancing:g}"
    return f"{epochs} further epochs{by}{how}" if epochs else "not fine-tuned"
