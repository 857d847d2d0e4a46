"""Where attacks begin: whether a target can be attacked, and what its model says of clean examples."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attacks._model import checked, matched
from attacks.evasion import _search
from attacks.evasion._attack import Batch
from attacks.evasion._features import ball_of
from attacks.evasion._losses import climb
from attacks.evasion._passes import laid_out
from attacks.evasion._scale import factor, magnified, times
from attacks.evasion._settings import Settings
from attacks.probe import Part, Target

ASKED = 8
"""Examples, at least, that are shown to a model twice to see whether its outputs are random."""
MODE_DEPENDENT = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)
"""Layers that work otherwise in training mode."""
FACTOR, DRAWS = "factor", "draws"


def fit(target: Target) -> None:
    """Raises ValueError where the target cannot be attacked soundly."""
    if len(target.test) == 0:
        raise ValueError("there are no test examples to attack")
    if any(module.training and isinstance(module, MODE_DEPENDENT) for module in target.model.modules()):
        raise ValueError(
            "the model is in training mode, in which its outputs depend on chance or on the batch: "
            "call eval() first"
        )
    low, high = float(target.test.x.min()), float(target.test.x.max())
    allowed = 1e-6 * max(map(abs, target.bounds))
    if not (low >= target.bounds[0] - allowed and high <= target.bounds[1] + allowed):
        raise ValueError(
            f"test inputs range from {low:g} to {high:g}, beyond the bounds "
            f"[{target.bounds[0]:g}, {target.bounds[1]:g}]: set [data] bounds to what the inputs may hold"
        )


@dataclass(frozen=True, slots=True)
class Start:
    """What holds for all examples of a target, whatever piece of them is attacked."""

    model: nn.Module
    """The target's, magnified where its logits are small."""
    draws: int
    """Passes that decide over a candidate (see :func:`attacks.evasion._search.draws`)."""

    @classmethod
    def of(cls, target: Target) -> "Start":
        """Found on the first examples."""
        first = laid_out(target.test.x[: max(target.block, ASKED)].to(target.device))
        with torch.no_grad():
            logits = torch.cat(
                [checked(target.model(part)) for part in torch.split(first, target.batch_size)]
            )
        y = target.test.y[: len(first)].to(first.device)
        right = matched(logits, target).argmax(dim=1) == y
        model = magnified(target.model, logits[right], y[right])
        return cls(model, _search.draws(target.model, first[: target.batch_size]))

    @property
    def left(self) -> Mapping[str, NDArray[np.generic]]:
        """For :meth:`found_again`."""
        return {FACTOR: np.array([factor(self.model)]), DRAWS: np.array([self.draws])}

    @classmethod
    def found_again(cls, target: Target, known: Part) -> "Start":
        """From what an earlier stage left."""
        return cls(times(target.model, float(known[FACTOR][0])), int(known[DRAWS][0]))


def luck(target: Target, settings: Settings, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The luck of every test example: of the attacks, (n, restarts) int64, and of the corruptions, (n,)."""
    n, device = len(target.test), generator.device
    return (
        torch.randint(2**62, (n, settings.restarts), generator=generator, device=device),
        torch.randint(2**62, (n,), generator=generator, device=device),
    )


def begin(
    target: Target, settings: Settings, seeds: Tensor, some: range, start: Start
) -> tuple[Tensor, Batch]:
    """Which of some test examples the model gets right, (n,) bool; those as one batch with their gradients.
    ``seeds``: of all examples, (N, restarts)."""
    batch = clean(target, settings, seeds, torch.arange(some.start, some.stop), start)
    right = matched(batch.logits, target).argmax(dim=1) == batch.y
    return right, batch.at(right, batch.eps[right])


def clean(target: Target, settings: Settings, seeds: Tensor, index: Tensor, start: Start) -> Batch:
    """Those test examples as one batch, unattacked, in the first norm of the settings."""
    index = index.to(target.test.x.device)
    x, y = laid_out(target.test.x[index].to(target.device)), target.test.y[index].to(target.device)
    parts = zip(torch.split(x, target.batch_size), torch.split(y, target.batch_size), strict=True)
    logits, _, gradient = zip(*(climb(start.model, *part) for part in parts), strict=True)
    return Batch(
        model=start.model,
        ball=ball_of(settings.norms[0], target.features),
        bounds=target.bounds,
        x=x,
        y=y,
        logits=torch.cat(logits),
        gradient=torch.cat(gradient),
        seeds=seeds[index.to(seeds.device)].to(target.device),
        eps=torch.zeros(len(y), device=target.device),
        draws=start.draws,
    )
