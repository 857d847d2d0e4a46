"""Schedules: through which sparsities a model goes on its way to the wanted one, and when."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

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


def sparsities(recipe: Recipe, final: float | None, epochs: int) -> list[float | None]:
    """What a recipe prunes to, in order; the last is ``final``. ``epochs``: of the fine-tuning.

    A soft recipe without a schedule of its own prunes to ``final`` once each epoch (He et al. 2018).
    Raises PruningError if a polynomial schedule would have to fall.
    """
    if final is None or recipe.schedule == "one-shot":
        return [final] * (1 if recipe.hardness == "hard" else max(1, epochs))
    if recipe.schedule == "iterative":
        return list(compounding(final, recipe.steps or 1))
    initial = recipe.initial or 0.0
    if initial > final:
        raise PruningError(
            f"a polynomial schedule rises, but its initial sparsity {initial:g} is above the wanted "
            f"{final:g}: lower initial, or leave that sparsity out"
        )
    return list(polynomial(initial, final, recipe.steps or 1))


def stages(ladder: Sequence[float | None], steps: int) -> list[Stage]:
    """The sparsities one after another, each followed by an equal share of so many optimiser steps.

    With fewer steps than sparsities some stages train for none; the last sparsity always has its stage.
    """
    n = len(ladder)
    return [Stage(ladder[i], i * steps // n, (i + 1) * steps // n) for i in range(n)]
