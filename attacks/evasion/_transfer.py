"""Transfer: what fools one model is tried on another.

Perturbations are made on each model without a thought of the others, by iterative steps with momentum, which
transfer better than plain ones (Dong et al. 2018), in balls of a few sizes; and are kept as directions, which
can be scaled to any ε.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from attacks._rates import rate
from attacks.evasion import _search
from attacks.evasion._attack import Batch, EvasionAttack
from attacks.evasion._balls import Ball, column
from attacks.evasion._curves import Curve, Sweep, among_all
from attacks.evasion._effort import Effort
from attacks.evasion._features import ball_of
from attacks.evasion._losses import climb
from attacks.evasion._passes import predict
from attacks.evasion._rows import METRIC
from attacks.evasion._settings import Settings
from attacks.probe import Measurement, Target

NAME = "transfer"
STEPS = 20
STEP_RATIO = 1.5
"""Length of all steps together, in ε."""
DECAY = 1.0
"""Of the momentum, as in the paper."""

Shifts = Mapping[str, Tensor]
"""By norm: perturbations of the test examples as shares of ε, (directions, n, …), float16."""


def shifts(target: Target, settings: Settings, examples: range) -> dict[str, Tensor]:
    """Perturbations of some test examples that raise this model's loss, by norm; made in the smallest, the
    middle and the largest ball of the plan. No random number is drawn."""
    found: dict[str, Tensor] = {}
    for norm in settings.norms:
        radii = settings.radii(norm)
        chosen = sorted({radii[0], radii[len(radii) // 2], radii[-1]})
        found[norm] = torch.stack([_directions(target, norm, eps, examples) for eps in chosen])
    return found


def _directions(target: Target, norm: str, eps: float, examples: range) -> Tensor:
    """(n, …) float16 on the CPU, rounded towards zero so that none leaves its ball."""
    ball, parts = ball_of(norm, target.features), []
    size = min(target.batch_size, target.block)
    for start in range(examples.start, examples.stop, size):
        some = target.test[start : min(start + size, examples.stop)]
        x, y = some.x, some.y
        x, y = x.to(target.device), y.to(target.device)
        radius = torch.full((len(y),), eps, device=x.device, dtype=x.dtype)
        *_, iterate = _iterates(target.model, ball, x, y, radius, target.bounds)
        parts.append(((iterate - x) / eps * (1 - 2**-10)).half().cpu())
    return torch.cat(parts)


def _iterates(
    model: nn.Module, ball: Ball, x: Tensor, y: Tensor, radius: Tensor, bounds: tuple[float, float]
) -> Iterator[Tensor]:
    """Steps uphill with momentum, in a ball of each example's radius (N,)."""
    iterate, momentum = x, torch.zeros_like(x)
    for _ in range(STEPS):
        _, _, gradient = climb(model, iterate, y)
        mean = gradient.flatten(1).abs().mean(dim=1).clamp(min=1e-30)
        momentum = DECAY * momentum + gradient / column(mean, x)
        iterate = ball.step(iterate, momentum, radius / STEPS * STEP_RATIO, x, radius, bounds)
        yield iterate


def from_twin(read: Callable[[], nn.Module]) -> EvasionAttack:
    """An attack that climbs another model, and tries every iterate on the one under attack."""

    def run(batch: Batch, effort: Effort) -> Tensor:
        del effort
        found, standing, twin = batch.x.clone(), torch.ones_like(batch.y, dtype=torch.bool), read()
        for iterate in _iterates(twin, batch.ball, batch.x, batch.y, batch.eps, batch.bounds):
            fools = standing & (predict(batch.model, iterate).argmax(dim=1) != batch.y)
            found = torch.where(column(fools, found), iterate, found)
            standing &= ~fools
        return found

    return EvasionAttack(run, search="smallest", paper="Dong et al. 2018", cost=2 * STEPS, sees="others")


def replayed(
    found: Sweep, batch: Batch, sources: Mapping[str, Sequence[Shifts]], settings: Settings, batch_size: int
) -> Sweep:
    """The sweep with the curve of ``transfer`` (all sources together), and of each source alone.

    ``sources``: name → perturbations of one model, or of several. A perturbation counts like any find: it is
    checked afresh against this model, its ball and its bounds.
    """
    replays, together = {}, torch.zeros_like(found.worst)
    for name, models in sources.items():
        attack = EvasionAttack(_Replay(found, batch, models), search="each", paper="", sees="others")
        known = torch.zeros(len(found.grid), len(batch), dtype=torch.bool, device=found.worst.device)
        broken = among_all(
            _search.each(attack, batch, found.grid, known, settings, batch_size), found.right, True
        )
        together |= broken
        replays[name] = broken
    count = sum(map(len, sources.values()))
    curves = {**found.curves, NAME: Curve(together, note=f"perturbations made on {count} other models")}
    worst = found.worst | (together.cumsum(dim=0) > 0)
    return replace(found, curves=curves, worst=worst, replays=replays)


def rows(found: Sweep) -> list[Measurement]:
    """Robust accuracy against what fooled each source alone; or the row that says that there is none."""
    if NAME not in found.curves and NAME not in found.failed:
        at: dict[str, str | int | float] = {"norm": found.norm, "attack": NAME}
        note = "there is no other model to transfer from"
        return [Measurement(METRIC, at=at, status="not_applicable", note=note)]
    return [
        rate(METRIC, ~at_eps, "correct", {"norm": found.norm, "eps": eps, "attack": NAME, "from": name})
        for name, broken in found.replays.items()
        for eps, at_eps in zip(found.grid.tolist(), broken, strict=True)
    ]


class _Replay:
    """Tries perturbations of other models, one after another, on what none of them has fooled yet."""

    def __init__(self, found: Sweep, batch: Batch, models: Sequence[Shifts]) -> None:
        self._keys, self._order = batch.seeds[:, 0].sort()
        right = found.right.cpu()
        self._directions = [direction[right] for shifts in models for direction in shifts.get(found.norm, ())]

    @torch.no_grad()
    def __call__(self, batch: Batch, effort: Effort) -> Tensor:
        """One candidate per example; the clean input where nothing fools the model."""
        del effort
        place = self._order[torch.searchsorted(self._keys, batch.seeds[:, 0].contiguous())].cpu()
        found, left = batch.x.clone(), torch.arange(len(batch), device=batch.x.device)
        for direction in self._directions:
            part = batch.at(left, batch.eps[left])
            shift = direction[place[left.cpu()]].to(part.x) * column(part.eps, part.x)
            moved = part.ball.project(part.x + shift, part.x, part.eps, part.bounds)
            broken = _search.check(part, moved).broken
            found[left[broken]] = moved[broken]
            left = left[~broken]
            if len(left) == 0:
                break
        return found
