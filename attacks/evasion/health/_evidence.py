"""What the checks look at: a sample of examples, and one plain walk uphill in balls of several sizes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from attacks._model import checked
from attacks.evasion._attack import Batch, EvasionAttack
from attacks.evasion._balls import column, half_cosine
from attacks.evasion._losses import climb, margin
from attacks.evasion._passes import predict
from attacks.evasion._pieces import Ground
from attacks.evasion._random import uniform
from attacks.evasion._search import widest
from attacks.evasion._settings import Settings
from attacks.evasion._views import in_double

SAMPLE = 100
"""Examples looked at: enough to see what a share of a few percent is, cheap beside the attacks."""
RADII = 3
"""Balls walked in, at most: evenly spaced over the plan's radii."""
STEPS = 20
"""Of a walk, at least: a plan of weak attacks must not have weak checks."""
INPUTS = 256
"""Of each kind of random input that a model of one class is tried on."""


@dataclass(frozen=True, slots=True)
class Walk:
    """Plain projected gradient ascent that does not stop where it succeeds. S steps, B balls, N examples."""

    margins: Tensor
    """The label's logit minus the best other at each iterate, (S + 1, B, N)."""
    end: Tensor
    """The last iterates, (B, N, …)."""
    found: Tensor
    """The first iterate that fools the model, (B, N, …); the clean input where none does."""

    @property
    def broken(self) -> Tensor:
        """Whether any iterate fools the model, (B, N)."""
        return (self.margins < 0).any(dim=0)


@dataclass(frozen=True)
class Evidence:
    """Some of a sample of what the model gets right, in one norm; what is costly is computed once, when asked
    for."""

    batch: Batch
    """Those of the sample."""
    rungs: Tensor
    """Where on the grid the balls walked in stand, rising, (B,) int64."""
    standing: Tensor
    """What the attacks left standing at each ε of the plan, (len(grid), N) bool."""
    grid: Tensor
    """Those ε."""
    attacks: Mapping[str, EvasionAttack]
    """The plan's, but for those that could not be run."""
    settings: Settings
    halfway: int
    """The rung of the grid at which nearest to half of the whole sample stands; of several the largest."""
    first: int
    """Where these stand in the whole sample."""
    size: int
    """Of the whole sample."""
    beside: Tensor
    """Another input of the sample, (1, …)."""

    @classmethod
    def of(cls, ground: Ground, norm: str, some: range) -> "Evidence":
        """Those of the sample, in some of the radii of a norm, the smallest and the largest among them."""
        found, chosen = ground.sweeps[norm], sample(int(ground.right.sum())).to(ground.right.device)
        standing, grid = ~found.worst[:, found.right][:, chosen], found.grid
        spread = torch.linspace(0, len(grid) - 1, min(RADII, len(grid))).round().long()
        ours = chosen[some.start : some.stop]
        other = torch.nonzero(ground.right).squeeze(1)[chosen[(some.stop) % len(chosen)]].cpu()
        batch = ground.batch(norm, ours)
        return cls(
            batch=batch,
            rungs=spread.to(grid.device),
            standing=standing[:, some.start : some.stop],
            grid=grid,
            attacks=ground.ran(norm),
            settings=ground.settings,
            halfway=halfway(standing),
            first=some.start,
            size=len(chosen),
            beside=ground.target.test.x[other : other + 1].to(batch.x),
        )

    @property
    def radii(self) -> Tensor:
        """The balls walked in, rising, (B,)."""
        return self.grid[self.rungs]

    @cached_property
    def double(self) -> nn.Module | None:
        """The model in float64; None where it cannot be had."""
        return in_double(self.batch.model, self.batch.x)

    @cached_property
    def walk(self) -> Walk:
        """From the clean inputs in each ball, with the plan's steps of PGD, or :data:`STEPS` if more."""
        steps = max(STEPS, self.settings.steps)
        return walk(self.batch, self.radii, self.settings.model_copy(update={"steps": steps}))

    @cached_property
    def unbounded(self) -> Tensor:
        """Whether the walk breaks each example, if not in a ball then without any, (N,)."""
        broken = self.walk.broken.any(dim=0)
        index = torch.nonzero(~broken).squeeze(1)
        if len(index):
            free = self.batch.at(index, widest(self.batch).expand(len(index)))
            broken[index] = (walk_in(free, self.settings)[0] < 0).any(dim=0)
        return broken


def walk(batch: Batch, radii: Tensor, settings: Settings) -> Walk:
    """Climb the log-odds of being wrong in a ball of each radius around each example."""
    parts = [
        walk_in(batch.at(torch.arange(len(batch)), radius.expand(len(batch))), settings) for radius in radii
    ]
    margins, ends, found = zip(*parts, strict=True)
    return Walk(torch.stack(margins, dim=1), torch.stack(ends), torch.stack(found))


def walk_in(batch: Batch, settings: Settings, start: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """As many steps as those of PGD here, from ``start`` or the clean inputs: the margins on the way,
    (steps + 1, N), the last iterates, and the first that fool the model."""
    if start is None:
        iterate, gradient, margins = batch.x, batch.gradient, [batch.margin]
    else:
        logits, _, gradient = climb(batch.model, start, batch.y)
        iterate, margins = start, [margin(logits, batch.y)]
    found, fooled = batch.x.clone(), torch.zeros_like(batch.y, dtype=torch.bool)
    for step in range(settings.steps):
        length = batch.eps * half_cosine(step, settings.steps)
        iterate = batch.ball.step(iterate, gradient, length, batch.x, batch.eps, batch.bounds)
        if step < settings.steps - 1:
            logits, _, gradient = climb(batch.model, iterate, batch.y)
        else:
            with torch.no_grad():
                logits = checked(batch.model(iterate))
        margins.append(margin(logits, batch.y))
        now = (margins[-1] < 0) & ~fooled
        found = torch.where(column(now, found), iterate, found)
        fooled |= now
    return torch.stack(margins), iterate, found


def in_ball(batch: Batch, radius: Tensor) -> Batch:
    """The sample with one radius for all."""
    return replace(batch, eps=radius.expand(len(batch)).to(batch.x))


def sample(count: int) -> Tensor:
    """Which of so many examples are looked at, rising: the same for every variant of as many."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(count))
    return order[:SAMPLE].sort().values


def halfway(standing: Tensor) -> int:
    """The rung of the grid at which nearest to half stands, (len(grid), N) bool; of several the largest."""
    off = (standing.double().mean(dim=1) - 0.5).abs()
    return int(torch.nonzero(off == off.amin())[-1])


def constant(ground: Ground, norm: str) -> bool:
    """Whether the model gives one class to every input tried (:func:`one_class`), and nothing changed it."""
    found, target = ground.sweeps[norm], ground.target
    if bool(found.worst[:, found.right].any()):
        return False
    labels = target.test.y.to(found.right.device)[found.right]
    return one_class(ground.start.model, target.bounds, labels, target.test.x.to(target.device))


def one_class(model: nn.Module, bounds: tuple[float, float], labels: Tensor, inputs: Tensor) -> bool:
    """Whether the model gives one class to everything: all test inputs (n, …), and random ones in the bounds.
    ``labels``: of those that it gets right, (N,).

    These are noise, corners, flat inputs, and test inputs mirrored in the middle of the bounds or with their
    values in another order. Such a model cannot be fooled, and no attack on it need be doubted.
    """
    if len(labels) == 0 or bool((labels != labels[0]).any()):
        return False
    low, high = bounds
    some = inputs[:: max(len(inputs) // INPUTS, 1)][:INPUTS]
    seeds = torch.arange(INPUTS, device=inputs.device)
    noise = uniform(seeds, inputs.shape[1:]).to(inputs) * (high - low) + low
    flat = uniform(seeds, (1,), 1).to(inputs) * (high - low) + low
    order = torch.randperm(some[0].numel(), generator=torch.Generator().manual_seed(0)).to(some.device)
    tried = (
        inputs,
        noise,
        torch.where(noise > (low + high) / 2, high, low),
        column(flat.squeeze(1), noise).expand_as(noise),
        low + high - some,
        some.flatten(1)[:, order].view_as(some),
    )
    try:
        return all(
            bool((predict(model, part).argmax(dim=1) == labels[0]).all())
            for kind in tried
            for part in torch.split(kind, INPUTS)
        )
    except Exception:  # whatever a foreign model raises: it was not made for such inputs, and is no constant
        return False
