"""The user's own attack: one written against a model finds what no ready-made one does (Tramèr et al. 2020,
On adaptive attacks to adversarial example defenses, arXiv:2002.08347).

The user's function is given a copy of the model, so that nothing it does to it reaches the model under
attack; and every find is checked against the latter, like all others.
"""

import copy
import functools
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from attacks._isolation import global_seed
from attacks.evasion._attack import AttackFailedError, Batch, EvasionAttack
from attacks.evasion._effort import Effort
from attacks.evasion._features import InUnits
from attacks.evasion._losses import climb
from attacks.evasion._search import check
from attacks.evasion.apgd_ce import apgd_ce
from attacks.evasion.apgd_t import apgd_t
from attacks.evasion.pgd import pgd

NAME = "adaptive"
OFFERED = ("model", "x", "y", "eps", "norm", "low", "high", "seed")
"""What a function may ask for, by the names of its parameters."""
CLIMBERS = (pgd, apgd_ce, apgd_t)
"""What climbs a twin's gradients, each what the one before it left standing."""

Function = Callable[..., Any]


def problem(function: Function) -> str | None:
    """What is wrong with the parameters of a user's function; None if nothing is."""
    wanted = inspect.signature(function).parameters.values()
    named = [p for p in wanted if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    if unknown := [p.name for p in named if p.name not in OFFERED and p.default is p.empty]:
        return f"its parameter {unknown[0]!r} is none of those offered: {', '.join(OFFERED)}"
    if not {"model", "x"} & {p.name for p in named}:
        return "it must take model (to return a twin of it), or x (to return candidates)"
    return None


def adapted(function: Function | None, model: nn.Module) -> EvasionAttack:
    """The user's function as an attack on ``model``; whatever it raises is the attack's failure.

    One that takes ``x`` (N, …) returns candidates of that shape. It is run at every ε, and what it returns is
    projected into ball and bounds. One that does not returns a twin: a module (N, …) → logits (N, classes)
    with gradients to climb. The built-in attacks then follow the twin: first as if it were the model, then
    with the model's own logits forward and the twin's gradients backward (BPDA, Athalye et al. 2018).
    """
    units = model if isinstance(model, InUnits) else None
    own = model if units is None else units.inner
    follows = function is not None and "x" not in inspect.signature(function).parameters

    def run(batch: Batch, effort: Effort) -> Tensor:
        try:
            if function is None:
                raise AttackFailedError("the target has no such function")
            if wrong := problem(function):
                raise AttackFailedError(wrong)
            return _follow(twin(), batch, effort) if follows else _candidates(function, own, batch, units)
        except AttackFailedError as error:
            raise AttackFailedError(f"the adaptive attack: {error}") from error
        except Exception as error:  # whatever the user's code raises becomes a visible row
            raise AttackFailedError(f"the adaptive attack: {type(error).__name__}: {error}") from error

    @functools.cache
    def twin() -> nn.Module:
        assert function is not None
        made = _twin(function, own)
        return made if units is None else units.around(made)

    return EvasionAttack(
        run,
        search="smallest" if follows else "each",
        sees="anything",
        together=not follows,
        paper="Tramèr et al. 2020, On adaptive attacks to adversarial example defenses",
        cost=30_000,
    )


def _copied(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except Exception as error:  # a foreign model can refuse in any way
        raise AttackFailedError(f"the model cannot be copied: {error}") from error


# Candidates


def _candidates(function: Function, model: nn.Module, batch: Batch, units: InUnits | None) -> Tensor:
    """What the user's function returns, projected into ball and bounds; where it is no number, the input."""
    x = batch.x.clone()
    bounds: tuple[float | Tensor, float | Tensor] = batch.bounds
    if units is not None and (features := batch.ball.features) is not None:
        x, bounds = units.leave(x), (units.leave(features.low), units.leave(features.high))
    seed = int(batch.seeds[0, 0]) % 2**31
    offered = {
        "model": _copied(model), "x": x, "y": batch.y.clone(), "eps": float(batch.eps[0]),
        "norm": batch.ball.name, "low": bounds[0], "high": bounds[1], "seed": seed,
    }  # fmt: skip
    with global_seed(seed, batch.x.device), torch.enable_grad():
        made = function(**_asked(function, offered))
    moved = torch.as_tensor(made).detach().to(batch.x)
    moved = moved if units is None else units.enter(moved)
    if moved.shape != batch.x.shape:
        raise AttackFailedError(
            f"it returned candidates of shape {tuple(moved.shape)} for inputs of shape {tuple(batch.x.shape)}"
        )
    moved = torch.where(moved.isfinite(), moved, batch.x)
    return batch.ball.project(moved, batch.x, batch.eps, batch.bounds)


def _asked(function: Function, offered: dict[str, Any]) -> dict[str, Any]:
    wanted = inspect.signature(function).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in wanted.values())
    return {name: value for name, value in offered.items() if takes_all or name in wanted}


# A twin


class _Backward(nn.Module):
    """The model's logits forward, the twin's gradients backward."""

    def __init__(self, model: nn.Module, twin: nn.Module) -> None:
        super().__init__()
        self._model, self._twin = model, twin

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, C)."""
        seen: Tensor = self._twin(x)
        with torch.no_grad():
            own = self._model(x).to(seen)
        logits: Tensor = seen + (own - seen).detach()
        return logits


def _twin(function: Function, model: nn.Module) -> nn.Module:
    with global_seed(0):
        made = function(_copied(model))
    if not isinstance(made, nn.Module):
        raise AttackFailedError(
            f"it returned {type(made).__name__}, not a torch.nn.Module: a function that "
            "returns candidates must take x"
        )
    return made.eval().requires_grad_(False)


def _follow(twin: nn.Module, batch: Batch, effort: Effort) -> Tensor:
    """The first candidate of any climber on any view that fools the model itself, else the last."""
    found, left = batch.x.clone(), torch.arange(len(batch), device=batch.x.device)
    for view in (twin, _Backward(batch.model, twin)):
        part = batch.at(left, batch.eps[left])
        logits, _, gradient = climb(view, part.x, part.y)
        seen = replace(part, model=view, logits=logits, gradient=gradient)
        for climber in CLIMBERS:
            found[left] = climber(seen, effort)
            standing = ~check(batch.at(left, batch.eps[left]), found[left]).broken
            left, seen = left[standing], seen.at(torch.nonzero(standing).squeeze(1), seen.eps[standing])
            if len(left) == 0:
                return found
    return found
