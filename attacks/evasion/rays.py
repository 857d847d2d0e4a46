"""RayS: a decision attack, which sees labels only (Chen & Gu 2020).

It looks for the sign vector along which the decision boundary is closest. Blocks of signs, ever smaller ones,
are flipped; a flip is kept if the input is misclassified at the best distance so far, which is then shortened
by bisection. Every example has its own state, and each step of the batch asks one query for each of them.

In L2 a block may also be zero, since a value that does not help costs length there. That extends the paper,
which has L∞ only.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from attacks._model import checked
from attacks.evasion._attack import Batch, EvasionAttack
from attacks.evasion._balls import column
from attacks.evasion._effort import Effort

PRECISION = 0.01
"""Bisection ends when the bracket is this share of the distance."""


@dataclass(slots=True)
class _State:
    """Where the search of each example stands. All (N,) but the directions, which are (N, values)."""

    best: Tensor
    """Direction of the closest adversarial input so far."""
    tried: Tensor
    """The direction being looked at."""
    radius: Tensor
    """Distance of the closest adversarial input so far; infinite before the first."""
    low: Tensor
    high: Tensor
    """Bracket of the bisection."""
    bisecting: Tensor
    place: Tensor
    """Number of the next block, counted through all levels: level l has blocks 2^l − 1 … 2^(l+1) − 2."""


@torch.no_grad()
def rays(batch: Batch, effort: Effort) -> Tensor:
    """The closest misclassified input found along any ray; the clean input where none was."""
    if len(batch) == 0:
        return batch.x.clone()
    state, values = _begin(batch), 3 if batch.ball.name == "l2" else 2
    for _ in range(effort.queries):
        reach = torch.where(
            state.bisecting, (state.low + state.high) / 2, torch.minimum(state.radius, batch.eps)
        )
        wrong = checked(batch.model(_along(batch, state.tried, reach))).argmax(dim=1) != batch.y
        begin = wrong & ~state.bisecting
        state.low = torch.where(state.bisecting & ~wrong, reach, torch.where(begin, 0, state.low))
        state.high = torch.where(wrong, reach, state.high)
        state.bisecting |= begin
        shorter = state.bisecting & (state.high - state.low <= PRECISION * state.high)
        state.radius = torch.where(shorter, state.high, state.radius)
        state.best = torch.where(shorter.unsqueeze(1), state.tried, state.best)
        state.bisecting &= ~shorter
        tried = _next(state, values)
        state.tried = torch.where(state.bisecting.unsqueeze(1), state.tried, tried)
        state.place = torch.where(state.bisecting, state.place, state.place + 1)
    reached = torch.where(state.bisecting, state.high, state.radius)
    best = torch.where(state.bisecting.unsqueeze(1), state.tried, state.best)
    return torch.where(
        column(reached.isfinite(), batch.x), _along(batch, best, reached.clamp(max=1e30)), batch.x
    )


def _begin(batch: Batch) -> _State:
    ones = torch.ones_like(batch.x.flatten(1))
    zero = torch.zeros_like(batch.eps)
    return _State(
        best=ones,
        tried=ones,
        radius=zero + torch.inf,
        low=zero,
        high=zero,
        bisecting=zero > 0,
        place=torch.zeros_like(batch.y),
    )


def _along(batch: Batch, direction: Tensor, radius: Tensor) -> Tensor:
    """The input at that distance on the ray, moved back into ball and bounds."""
    if batch.ball.name == "l2":
        direction = direction / torch.linalg.vector_norm(direction, dim=1, keepdim=True).clamp(min=1e-12)
    moved = batch.x + (direction * radius.unsqueeze(1)).view_as(batch.x)
    return batch.ball.project(moved, batch.x, radius, batch.bounds)


def _next(state: _State, values: int) -> Tensor:
    """The best direction with the next block changed; after single values the whole input again."""
    width = state.best.shape[1]
    levels = max(width - 1, 1).bit_length() + 1
    place = state.place // (values - 1) % (2**levels - 1)
    level = (place + 1).double().log2().floor().long()
    block = place + 1 - 2**level
    at = torch.arange(width, device=place.device)
    inside = (at * 2 ** level.unsqueeze(1)).div(width, rounding_mode="floor") == block.unsqueeze(1)
    if values == 2:
        changed = -state.best
    else:  # −1 → 0 → 1 → −1: in two visits a block takes each of the two values that it does not have
        turn = 1 + (state.place % 2).unsqueeze(1)
        changed = (state.best + 1 + turn).remainder(3) - 1
    return torch.where(inside, changed, state.best)


ATTACK = EvasionAttack(
    rays,
    search="distance",
    paper="Chen & Gu 2020, RayS: a ray searching method for hard-label adversarial attack",
    level="thorough",
    cost=6000,
    steps="queries",
    on="survivors",
    sees="labels",
)
