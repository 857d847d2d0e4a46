"""The whole procedure of a recipe: schedule, hardness, rewinding and recovery around one-shot pruning.

It knows neither data nor training: whatever touches them is handed in.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import nn
from torch.optim import Optimizer

from pruning import hardness, masks, prunable, removal, schedule
from pruning.errors import PruningError
from pruning.masks import Masks
from pruning.prune import Pruned, achieved
from pruning.recipe import Recipe

Prepare = Callable[[Optimizer], object]


class Prune(Protocol):
    """One-shot pruning, as :func:`pruning.prune.prune` with everything else filled in."""

    def __call__(self, model: nn.Module, sparsity: float | None, kept: Masks | None = None) -> Pruned:
        """A pruned copy; what ``kept`` dropped in earlier rounds goes again."""


@dataclass(frozen=True, slots=True)
class Training:
    """A training that can be gone through in parts, which see the same batches as the whole does."""

    run: Callable[[nn.Module, int, int, Prepare], None]
    """(model, start, stop, prepare): train in place from optimiser step ``start`` up to ``stop``; ``prepare``
    is handed the optimiser before its first step."""
    steps: int
    """Optimiser steps in all."""
    epochs: int
    carries: bool = True
    """Whether an optimiser can go on where it stopped in an earlier part; else each part has a new one."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a procedure works with. What is None is not to be had, and a recipe that needs it is refused."""

    prune: Prune
    finetune: Training | None = None
    """The recipe's further epochs, all of them (:func:`pruning.schedule.epochs`)."""
    original: Training | None = None
    """The training that made the dense model, with the learning rates it had."""
    early: Callable[[int], nn.Module] | None = None
    """The dense model as it was at an optimiser step of its training."""
    recalibrate: Callable[[nn.Module], None] | None = None
    """Batch norm's running statistics anew, in place, from training data."""


@dataclass(slots=True)
class _Session:
    """Training in parts with one optimiser: what it has gathered is carried from part to part."""

    training: Training | None
    gathered: dict[str, Any] | None = field(default=None)

    def go(self, model: nn.Module, start: int, stop: int, kept: Masks, *, carry: bool = False) -> None:
        """Train from step to step with zeros held; ``carry``: the optimiser goes on where it stopped."""
        if self.training is None or start >= stop:
            return
        optimisers: list[Optimizer] = []
        carry = carry and self.training.carries

        def prepare(optimiser: Optimizer) -> None:
            optimisers.append(optimiser)
            if carry and self.gathered is not None:
                optimiser.load_state_dict(self.gathered)
            if kept:
                masks.hold(optimiser, model, kept)

        self.training.run(model, start, stop, prepare)
        if revived := masks.revived(model, kept):
            raise PruningError(
                f"{revived} pruned weights are no longer zero after a training: train with a torch "
                "optimiser, whose every step is followed by setting them back, and write no weights past it"
            )
        if carry:
            self.gathered = optimisers[0].state_dict()

    def shrink(self, model: nn.Module, removed: removal.History, example_input: torch.Tensor) -> None:
        """Make what the optimiser has gathered as small as the parameters become: removed units go.

        Each of its tensors of a parameter's shape (momentum, moments) is cut as the parameter is: in a copy
        of the model whose parameters they are.
        """
        if self.gathered is None or not removed:
            return
        trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        state = {trained[int(i)]: dict(kept) for i, kept in self.gathered["state"].items()}
        shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
        for key in {key for kept in state.values() for key in kept}:
            moments = copy.deepcopy(model)
            shaped = [
                n
                for n, kept in state.items()
                if torch.is_tensor(kept.get(key)) and kept[key].shape == shapes[n]
            ]
            with torch.no_grad():
                for name in shaped:
                    moments.get_parameter(name).copy_(state[name][key])
            smaller = removal.replay(moments, removed, example_input) if shaped else moments
            for name in shaped:
                state[name][key] = smaller.get_parameter(name).detach().clone()
        self.gathered = {
            **self.gathered,
            "state": {trained.index(name): kept for name, kept in state.items()},
        }


def follow(
    dense: nn.Module, recipe: Recipe, sparsity: float | None, means: Means, example_input: torch.Tensor
) -> Pruned:
    """A copy of the dense model, pruned as the recipe says; the model itself is left as it was.

    ``example_input``: (N, …). ``achieved`` of what comes back is counted in the model as it is at the end:
    what was asked, for single weights exactly; nothing where the selected were only attenuated. Raises
    PruningError where :func:`pruning.prune.prune` does, and where the recipe needs means that there are not.
    """
    finetune = means.finetune if recipe.recovery == "fine-tune" else None
    ladder = schedule.sparsities(recipe, sparsity, finetune.epochs if finetune else 0)
    if recipe.rewind is not None:
        pruned = _rewinding(dense, recipe, ladder, means, example_input)
    else:
        stages = schedule.stages(ladder, finetune.steps if finetune else 0, recipe.end)
        way = _hard if recipe.hardness == "hard" else _soft
        pruned = way(dense, recipe, stages, means.prune, _Session(finetune), example_input)
    if recipe.recovery == "batch-norm":
        if means.recalibrate is None:
            raise PruningError("recovery 'batch-norm' needs training examples, and there are none")
        means.recalibrate(pruned.model)
    return replace(pruned, achieved=achieved(pruned.model, _count(dense)))


def _hard(
    dense: nn.Module,
    recipe: Recipe,
    stages: list[schedule.Stage],
    prune: Prune,
    session: _Session,
    example_input: torch.Tensor,
) -> Pruned:
    """Cut, train with what is gone held at zero, cut further."""
    now = Pruned(dense, {}, (), 0.0)
    for stage in stages:
        before = now
        now = _further(before, stage.sparsity, prune, _count(dense))
        if recipe.gradual:
            session.shrink(before.model, now.history[len(before.history) :], example_input)
        session.go(now.model, stage.start, stage.stop, now.masks, carry=recipe.gradual)
    return now


def _rewinding(
    dense: nn.Module, recipe: Recipe, ladder: list[float | None], means: Means, example_input: torch.Tensor
) -> Pruned:
    """Cut, go back to an early step of the dense training, train to its end, cut further.

    Weights: Frankle & Carbin 2019, arXiv:1803.03635. Learning rate only: Renda et al. 2020, arXiv:2003.02389.
    """
    if means.original is None:
        raise PruningError("rewinding repeats the training of the dense model, which is not known here")
    start = round((recipe.rewind_to or 0.0) * means.original.steps)
    early: nn.Module | None = None
    if recipe.rewind == "weights":
        if means.early is None:
            raise PruningError("rewinding weights needs early weights of the dense model, and there are none")
        early = means.early(start)
    now = Pruned(dense, {}, (), 0.0)
    for share in ladder:
        now = _further(now, share, means.prune, _count(dense))
        if early is not None:
            ticket = removal.replay(early, now.history, example_input)
            masks.apply(ticket, now.masks)
            now = replace(now, model=ticket)
        _Session(means.original).go(now.model, start, means.original.steps, now.masks)
    return now


def _soft(
    dense: nn.Module,
    recipe: Recipe,
    stages: list[schedule.Stage],
    prune: Prune,
    session: _Session,
    example_input: torch.Tensor,
) -> Pruned:
    """Soften what would be cut, train all of it, choose again; at the end cut, or attenuate once more."""
    kind = recipe.hardness
    assert kind != "hard"
    model = copy.deepcopy(dense)
    model.zero_grad(set_to_none=True)

    def soften(share: float | None, factor: float) -> None:
        chosen = prune(model, share)
        selected = chosen.masks
        if recipe.granularity == "unit":
            selected = hardness.filters(model, chosen.history, example_input)
        hardness.soften(model, selected, kind, factor)

    factors = hardness.factors(recipe.factor or 1.0, len(stages))
    for stage, factor in zip(stages, factors, strict=True):
        soften(stage.sparsity, factor)
        session.go(model, stage.start, stage.stop, {}, carry=True)
    if kind != "attenuate":
        return prune(model, stages[-1].sparsity)
    if any(stage.start < stage.stop for stage in stages):
        soften(stages[-1].sparsity, factors[-1])
    return Pruned(model, {}, (), 0.0)


def _further(now: Pruned, sparsity: float | None, prune: Prune, dense_weights: int) -> Pruned:
    """Cut what an earlier round left down to a sparsity of the dense model; history and masks go on."""
    left = _count(now.model)
    share = sparsity
    if sparsity is not None and left != dense_weights:
        share = max(0.0, 1 - (1 - sparsity) * dense_weights / left)
    further = prune(now.model, share, now.masks or None)
    return replace(further, history=(*now.history, *further.history))


def _count(model: nn.Module) -> int:
    return sum(weight.numel() for weight in prunable.weights(model).values())
