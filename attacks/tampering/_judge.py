"""Judges changed models on the audit examples, and makes rows of what they get right."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attacks._model import target_logits
from attacks._replicates import crossed, gain
from attacks._sampling import fixed_sample
from attacks.intervals import Estimate
from attacks.probe import Examples, Measurement, Target

ACCURACY, SUCCESS = "tampering_accuracy", "tampering_success"
FLIPS, PER_MILLION = "tampering_flips", "tampering_flips_per_million"
CHANGE, FILLED = "tampering_change", "tampering_filled"
METRICS = (ACCURACY, FLIPS, PER_MILLION, SUCCESS, CHANGE, FILLED)

CHANCE = 1.1
"""Times 1 / classes: an accuracy at which a model is as good as destroyed. Of 10 classes that is 11%, the
mark of progressive bit search (Rakin et al. 2019). Where the commonest class has more, its share is the mark:
a model that always answers with it is destroyed, too."""

At = Mapping[str, str | int | float]
Hits = NDArray[np.bool_]
"""(attackers, audit examples)."""


class Judge:
    """Holds the audit examples, the same for every model."""

    def __init__(self, target: Target, examples: int) -> None:
        """Raises NotFiniteError if the model, untouched, returns NaN; ValueError if it has not a logit a
        class."""
        self.test = fixed_sample(target.test, min(examples, len(target.test)))
        self._target = target
        logits = target_logits(target, self.test)
        self.right: Hits = (logits.argmax(dim=1) == self.test.y.cpu()).numpy()
        """What the model gets right untouched, (n,)."""
        most = int(self.test.y.bincount().max()) / len(self.test)
        self.chance = max(CHANCE / target.num_classes, most)
        """The accuracy that counts as chance."""
        self.odd = 0
        """How often a changed model did not return numbers for some example."""

    @torch.no_grad()
    def answers(self, model: nn.Module, some: Examples | None = None) -> NDArray[np.int64]:
        """A changed model's classes, by default of the audit examples, (n,); −1 where its outputs are NaN or
        infinite, which no label is."""
        x = (self.test if some is None else some).x
        found = []
        for part in torch.split(x, self._target.batch_size):
            logits = model(part.to(self._target.device)).float().cpu()
            found.append(logits.argmax(dim=1).masked_fill(~torch.isfinite(logits).all(dim=1), -1))
        classes: NDArray[np.int64] = torch.cat(found).numpy()
        self.odd += bool((classes < 0).any())
        return classes

    def hits(self, model: nn.Module) -> Hits:
        """Which audit examples a changed model gets right, (n,)."""
        return np.asarray(self.answers(model) == self.test.y.cpu().numpy())

    def told(self) -> str:
        """For a row: how many models since the last call did not return numbers."""
        odd, self.odd = self.odd, 0
        if not odd:
            return ""
        models = "1 model" if odd == 1 else f"{odd} models"
        return f"{models} returned NaN or infinity for some examples, which count as wrong"


def row(metric: str, hits: Hits, outcome: str, at: At, note: str = "", empty: str = "") -> Measurement:
    """The mean of ``hits`` (attackers, n) with its interval; refused where there are no examples.

    One attacker's outcomes are kept as bools, which pair with another model's example by example; of several,
    the share of them for each example, under the outcome's name and ``_share``.
    """
    if hits.size == 0:
        why = empty or "there are no examples to measure on"
        return Measurement(metric, at=at, status="refused", note=why)
    found = crossed(hits)
    kept: dict[str, NDArray[np.generic]] = (
        {outcome: hits[0]} if len(hits) == 1 else {f"{outcome}_share": hits.mean(axis=0).astype(np.float32)}
    )
    return Measurement(metric, found.value, found.low, found.high, found.n, at, note=note, outcomes=kept)


Curve = Callable[[int], Hits]
"""Steps of damage, 0 being none → the hits after so many."""


class Goal:
    """A damage, and the step at which a curve of hits first does it."""

    def __init__(self, name: str, chance: float) -> None:
        """``name``: ``chance``, or ``N points``; ``chance``: the accuracy that counts as that."""
        self.name = name
        self._chance = None if name != "chance" else chance
        self._points = 0.0 if self._chance is not None else float(name.split()[0]) / 100

    def beyond(self, before: Hits) -> str:
        """Why the goal has no meaning for a model with these hits untouched; empty if it has."""
        value = float(before.mean())
        if self._chance is not None:
            return "" if value > self._chance else f"untouched it is at chance already ({value:.1%})"
        return "" if value > self._points else f"untouched it has {value:.1%}, and not {self.name} to lose"

    def reached(self, before: Hits, after: Hits) -> tuple[bool, bool, bool]:
        """Whether the value, the upper and the lower end of the damage's interval reach the goal."""
        if self._chance is not None:
            found = crossed(after)
            return found.value <= self._chance, found.low <= self._chance, found.high <= self._chance
        lost: Estimate = gain(np.broadcast_to(before, after.shape), after)
        edge = self._points - 1e-9
        return lost.value >= edge, lost.high >= edge, lost.low >= edge


def first(reached: Callable[[int], bool], grid: Sequence[int]) -> int | None:
    """The first step of the grid that reaches, narrowed down to the next one by halving: a step that reaches
    while the one before it does not. None where no step of the grid does."""
    low = 0
    for step in grid:
        if not reached(step):
            low = step
            continue
        high = step
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if reached(middle) else (middle, high)
        return high
    return None


def crossing(
    metric: str,
    goal: Goal,
    curve: Curve,
    grid: Sequence[int],
    at: At,
    worth: Callable[[int], float],
    last: str,
) -> Measurement:
    """The row that says at which step the goal is reached. ``worth``: step → the figure; ``last``: the
    largest damage of the grid, in words.

    The interval holds the steps at which the ends of the damage's interval reach it; where the lower end
    never does, there is no upper end.
    """
    before, where = curve(0), {**at, "goal": goal.name}
    if why := goal.beyond(before):
        return Measurement(metric, at=where, status="refused", note=why)

    def at_end(end: int) -> int | None:
        return first(lambda step: goal.reached(before, curve(step))[end], grid)

    value, low, high = (at_end(end) for end in range(3))
    if value is None:
        note = f"not reached: {last} is not enough"
        return Measurement(metric, at=where, status="refused", note=note)
    note = "" if high is not None else f"no upper end: {last} may not be enough"
    lowest = 0.0 if low is None or low <= grid[0] else worth(min(low, value))
    upper = None if high is None else worth(max(high, value))
    n = before.shape[-1]
    kept = {
        "lost": (np.broadcast_to(before, curve(value).shape) & ~curve(value)).mean(axis=0).astype(np.float32)
    }
    return Measurement(metric, worth(value), lowest, upper, n, where, note=note, outcomes=kept)


def noted(found: Measurement, *remarks: str) -> Measurement:
    """The row with further remarks on it, if it has a figure that they are about."""
    if found.value is None:
        return found
    return replace(found, note="; ".join(note for note in (found.note, *remarks) if note))


def share(answers: Sequence[NDArray[np.int64]], some: Tensor, wanted: int) -> Hits:
    """Which of some examples (a bool mask) get the wanted class, (attackers, some)."""
    return np.stack([each[some.numpy()] == wanted for each in answers])
