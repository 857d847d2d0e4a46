"""The ε curve: robust accuracy over a grid of radii, per attack and for the worst case over all attacks."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from attacks._model import matched
from attacks._rates import rate
from attacks.evasion import _search
from attacks.evasion._attack import Batch, EvasionAttack
from attacks.evasion._balls import BALLS
from attacks.evasion._losses import climb, margin
from attacks.evasion._settings import Settings
from attacks.probe import Measurement, Target

METRIC = "robust_accuracy"
SEARCHES = {"each": _search.each, "smallest": _search.smallest}


def robust_curves(
    target: Target, settings: Settings, attacks: Mapping[str, EvasionAttack], generator: torch.Generator
) -> list[Measurement]:
    """Robust accuracy on ``target.test`` at every (norm, ε, attack), and for the ``worst_case``.

    Natural errors count as broken, so only examples that the model gets right are attacked. An example
    counts as broken only after a fresh check (see :func:`attacks.evasion._search.check`). The worst case
    is taken per example, over all attacks and all smaller ε.

    Raises NotFiniteError if the model returns NaN, ValueError if there are no examples.
    """
    if len(target.test) == 0:
        raise ValueError("there are no test examples to attack")
    grid = torch.tensor(sorted(settings.eps), dtype=torch.float64, device=target.device)
    right, clean = _begin(target, settings, generator)
    rows = []
    for norm in settings.norms:
        batch = replace(clean, ball=BALLS[norm])
        worst = torch.zeros(len(grid), len(right), dtype=torch.bool, device=target.device)
        for name, attack in attacks.items():
            broken = torch.zeros_like(worst)
            broken[:, right] = SEARCHES[attack.search](attack, batch, grid, settings, target.batch_size)
            broken[:, ~right] = True
            worst |= broken.cumsum(dim=0) > 0
            rows += _rows(broken, grid, norm, name)
        rows += _rows(worst, grid, norm, "worst_case")
    return rows


def _begin(target: Target, settings: Settings, generator: torch.Generator) -> tuple[Tensor, Batch]:
    """Which test examples the model gets right, (n,) bool, and those as one batch with their gradients."""
    total, device = len(target.test), target.device
    seeds = torch.randint(2**62, (total, settings.restarts), generator=generator, device=generator.device)
    x, y, seeds = target.test.x.to(device), target.test.y.to(device), seeds.to(device)
    pairs = [climb(target.model, *part) for part in zip(*_split(target.batch_size, x, y), strict=True)]
    logits, gradient = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    right = matched(logits, target).argmax(dim=1) == y
    batch = Batch(
        model=target.model,
        ball=BALLS[settings.norms[0]],
        bounds=target.bounds,
        x=x[right],
        y=y[right],
        gradient=gradient[right],
        margin=margin(logits, y)[right],
        seeds=seeds[right],
        eps=torch.zeros(int(right.sum()), device=device),
    )
    return right, batch


def _split(size: int, *tensors: Tensor) -> list[tuple[Tensor, ...]]:
    return [torch.split(tensor, size) for tensor in tensors]


def _rows(broken: Tensor, grid: Tensor, norm: str, attack: str) -> list[Measurement]:
    """One row per ε from ``broken``, (len(grid), n)."""
    return [
        rate(METRIC, ~at_eps, "correct", {"norm": norm, "eps": eps, "attack": attack})
        for eps, at_eps in zip(grid.tolist(), broken, strict=True)
    ]
