"""The user's own training in place of the recipe: a function that trains the model that it is handed."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from attacks._isolation import global_seed
from attacks.probe import Examples
from audit.errors import PlanError, RefusedError
from audit.plan import Plan
from audit.subject.code import function_of

KEY = "[train] fit"
OFFERED = ("model", "x", "y", "epochs", "seed", "further", "device")
"""What a function may ask for, by name."""

Fit = Callable[..., Any]


def fit_of(plan: Plan) -> Fit | None:
    """The plan's own training, if it has one. Raises as :func:`audit.subject.code.function_of`; and PlanError
    for one that asks for what it is not offered."""
    if plan.train is None or plan.train.fit is None:
        return None
    function = function_of(plan, plan.train.fit, KEY)
    parameters = inspect.signature(function).parameters.values()
    named = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    unknown = [p.name for p in named if p.name not in OFFERED and p.default is p.empty]
    unknown += [p.name for p in named if p.kind is p.POSITIONAL_ONLY]
    if unknown or "model" not in {p.name for p in named}:
        raise PlanError(
            f"{KEY} {plan.train.fit!r}: asks for {', '.join(unknown) or 'no model'}; write a function that "
            f"takes model, x and y, and what it wants of {', '.join(OFFERED[3:])}, by these names"
        )
    return function


def fit(
    function: Fit,
    model: nn.Module,
    examples: Examples,
    *,
    epochs: int,
    seed: int,
    further: bool = False,
    prepare: Callable[[Optimizer], object] = lambda optimiser: None,
) -> None:
    """Let the user's function train ``model`` in place; it ends in eval mode.

    ``prepare`` is handed every torch optimiser of the model's parameters before its first step, so that what
    pruning holds there is held in a training that nobody here wrote. The function gets copies of the
    examples; the global generators are seeded by ``seed`` and afterwards as they were.

    Raises RefusedError where the function raises, returns something else than the model, changes the model's
    structure or leaves its weights as they were; ArithmeticError where they are not finite.
    """
    device = next(model.parameters()).device
    offered = {
        "model": model, "x": examples.x.clone(), "y": examples.y.clone(), "epochs": epochs, "seed": seed,
        "further": further, "device": str(device),
    }  # fmt: skip
    wanted = inspect.signature(function).parameters
    everything = any(p.kind is p.VAR_KEYWORD for p in wanted.values())
    before = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
    model.train()
    with global_seed(seed, device), torch.enable_grad(), _prepared(model, prepare):
        try:
            returned = function(**{k: v for k, v in offered.items() if everything or k in wanted})
        except Exception as error:  # the user's own code
            raise RefusedError(f"{KEY}: raises {type(error).__name__}: {error}") from error
    model.eval().requires_grad_(True)
    _check(model, before, returned)


@contextmanager
def _prepared(model: nn.Module, prepare: Callable[[Optimizer], object]) -> Iterator[None]:
    """Within the block, ``prepare`` meets each optimiser of the model's parameters before its first step."""
    known: list[Optimizer] = []

    def before_step(optimiser: Optimizer, _args: Any, _kwargs: Any) -> None:
        if any(optimiser is other for other in known):
            return
        known.append(optimiser)
        ours = {id(parameter) for parameter in model.parameters()}
        if any(id(p) in ours for group in optimiser.param_groups for p in group["params"]):
            prepare(optimiser)

    handle = register_optimizer_step_pre_hook(before_step)
    try:
        yield
    finally:
        handle.remove()


def _check(model: nn.Module, before: dict[str, Tensor], returned: object) -> None:
    """What a training must have left: this very model, of the same shapes, with other, finite weights."""
    if returned is not None and returned is not model:
        raise RefusedError(
            f"{KEY}: returns {type(returned).__name__}; it must train the model that it is handed, in place, "
            "and return nothing: model.load_state_dict(other.state_dict()) takes another's weights over"
        )
    after = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    moved = sorted(name for name in before.keys() ^ after.keys())
    moved += [name for name in before.keys() & after.keys() if before[name].shape != after[name].shape]
    if moved:
        raise RefusedError(
            f"{KEY}: leaves other parameters than it was handed ({', '.join(moved[:3])}): the model's layers "
            "must stay as they are; undo what wraps or masks them"
        )
    if not all(bool(torch.isfinite(value).all()) for value in after.values()):
        raise ArithmeticError(f"{KEY}: NaN or infinity in the weights after it: lower its learning rate")
    names = [name for name, _ in model.named_parameters()]
    if all(torch.equal(before[name], after[name]) for name in names if name in after):
        raise RefusedError(
            f"{KEY}: leaves every weight as it was: it trains a copy, or nothing; "
            "train the model that it is handed"
        )
