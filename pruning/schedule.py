"""Schedules: through which sparsities a model goes on its way to the wanted one, and when."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import exp

from scipy.optimize import brentq

from pruning.errors import PruningError
from pruning.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Stage:
    """Prune to a sparsity, then train from optimiser step ``start`` up to ``stop``."""

    sparsity: float | None
    """None where a recipe's threshold decides."""
    start: int
    stop: int


def compounding(final: float, rounds: int) -> list[float]:
    """Sparsities after each round, where every round takes the same share of what is left.

    Han et al. 2015, arXiv:1506.02626; Frankle & Carbin 2019, arXiv:1803.03635. The last is ``final`` itself.
    """
    return [*(1 - (1 - final) ** (i / rounds) for i in range(1, rounds)), final]


def polynomial(initial: float, final: float, steps: int, power: int = 3) -> list[float]:
    """``steps`` + 1 sparsities from ``initial`` to ``final``, fast at first: s_f + (s_i − s_f)(1 − t/n)³.

    Zhu & Gupta 2017, arXiv:1710.01878, equation 1, without rounding but that of the result. The last is
    ``final`` itself.
    """
    low, high = Fraction(repr(initial)), Fraction(repr(final))
    return [float(high + (low - high) * (1 - Fraction(t, steps)) ** power) for t in range(steps + 1)]


def asymptotic(initial: float, final: float, steps: int) -> list[float]:
    """``steps`` + 1 sparsities along a·exp(−k·t) + b: three quarters of the way after an eighth of the steps.

    He et al. 2019, arXiv:1808.07471 (Asymptotic Soft Filter Pruning), whose curve goes through (0, s_i),
    (n/8, s_i + ¾·(s_f − s_i)) and (n, s_f). The last is ``final`` itself.
    """
    reached = [(1 - exp(-_RATE * t / steps)) / (1 - exp(-_RATE)) for t in range(steps)]
    return [*(initial + (final - initial) * share for share in reached), final]


_RATE = float(brentq(lambda k: (1 - exp(-k / 8)) / (1 - exp(-k)) - 0.75, 1, 100))
"""k of the exponential, over the whole way."""


def sparsities(recipe: Recipe, final: float | None, epochs: int) -> list[float | None]:
    """What a recipe prunes to, in order; the last is ``final``. ``epochs``: of its fine-tuning.

    A soft recipe without a schedule of its own prunes to ``final`` once each epoch (He et al. 2018).
    Raises PruningError if a gradual schedule would have to fall.
    """
    if final is None or recipe.schedule == "one-shot":
        return [final] * (1 if recipe.hardness == "hard" else max(1, epochs))
    if recipe.schedule == "iterative":
        return list(compounding(final, recipe.steps or 1))
    initial = recipe.initial or 0.0
    if initial > final:
        raise PruningError(
            f"a {recipe.schedule} schedule rises, but its initial sparsity {initial:g} is above the wanted "
            f"{final:g}: lower initial, or leave that sparsity out"
        )
    rise = polynomial if recipe.schedule == "polynomial" else asymptotic
    return list(rise(initial, final, recipe.steps or 1))


def epochs(recipe: Recipe, usual: int) -> int:
    """Epochs of fine-tuning in all. ``usual``: what a one-shot method has. Rewinding is not among them."""
    if recipe.rewind is not None or recipe.recovery != "fine-tune":
        return 0
    each = recipe.epochs_per_round
    if each is None or each == "shared":
        return usual
    return (recipe.steps or 1) * (usual if each == "all" else each)


def stages(ladder: Sequence[float | None], steps: int, end: float | None = None) -> list[Stage]:
    """The sparsities one after another, each followed by an equal share of so many optimiser steps.

    ``end``: the last sparsity is there at this share of the steps, and trained from then on. With fewer steps
    than sparsities some stages train for none; the last sparsity always has its stage.
    """
    n = len(ladder)
    if end is None or n == 1:
        return [Stage(ladder[i], i * steps // n, (i + 1) * steps // n) for i in range(n)]
    starts = [round(end * steps * i / (n - 1)) for i in range(n)]
    return [Stage(*stage) for stage in zip(ladder, starts, [*starts[1:], steps], strict=True)]
