"""Square: random search with scores only, no gradient (Andriushchenko et al. 2020).

Each step repaints one random window of each input and is kept where the margin falls. All examples take each
step together, one query each, and what is broken leaves the batch. Inputs that are no images are searched as
if they were images one pixel high.
"""

import math

import torch
from torch import Tensor

from attacks._model import checked
from attacks.evasion._attack import Batch, EvasionAttack
from attacks.evasion._balls import column
from attacks.evasion._effort import Effort
from attacks.evasion._losses import margin
from attacks.evasion._random import uniform

FIRST_SHARE = 0.8
"""Of the places of an input that the first windows repaint; the value that AutoAttack uses."""
MILESTONES = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Of 10 000 queries: after each of them the share halves (the paper, section 3)."""
START, COIN = 1 << 20, 1 << 21
"""Streams of random numbers beside those of the steps."""


@torch.no_grad()
def square(batch: Batch, effort: Effort) -> Tensor:
    """The input of smallest margin found in each ball; what is broken takes no further query."""
    found = torch.empty_like(batch.x)
    pending = torch.arange(len(batch), device=batch.x.device)
    start, step = (_tiles, _move_mass) if batch.ball.name == "l2" else (_stripes, _repaint)
    part, current = batch, _inside(batch, start(batch))
    lowest = margin(checked(part.model(current)), part.y)
    for query in range(1, effort.queries):
        standing = lowest >= 0
        if not bool(standing.all()):
            found[pending[~standing]] = current[~standing]
            pending, current, lowest = pending[standing], current[standing], lowest[standing]
            if len(pending) == 0:
                return found
            part = part.at(torch.nonzero(standing).squeeze(1), part.eps[standing])
        moved = _inside(part, step(part, current, _share(query, effort.queries), query))
        reached = margin(checked(part.model(moved)), part.y)
        better = reached < lowest
        current = torch.where(column(better, current), moved, current)
        lowest = torch.where(better, reached, lowest)
    found[pending] = current
    return found


def _share(query: int, queries: int) -> float:
    """Of the places, how many a window covers after so many queries."""
    done = query * 10_000 / queries
    return float(FIRST_SHARE / 2 ** sum(done > milestone for milestone in MILESTONES))


def _inside(batch: Batch, shift: Tensor) -> Tensor:
    return batch.ball.project(batch.x + shift.view_as(batch.x), batch.x, batch.eps, batch.bounds)


def _planes(x: Tensor) -> Tensor:
    """Any input as (N, C, H, W)."""
    return x if x.ndim == 4 else x.flatten(1)[:, None, None, :]


def _signs(batch: Batch, shape: tuple[int, ...], stream: int) -> Tensor:
    return torch.where(uniform(batch.seeds[:, 0], shape, stream) < 0.5, -1.0, 1.0).to(batch.x)


def _window(height: int, width: int, share: float, least: int) -> tuple[int, int]:
    """Height and width of a window: square as far as the input is high enough."""
    side = max(round(math.sqrt(share * height * width)), least)
    high = min(side, height)
    wide = side if high == side else round(share * height * width / high)
    return high, min(max(wide, least), width)


def _places(batch: Batch, planes: Tensor, size: tuple[int, int], stream: int) -> tuple[Tensor, ...]:
    """One window at random in each input, as an index into (N, C, H, W): (N, C, high, wide) places each."""
    count, channels, height, width = planes.shape
    luck = uniform(batch.seeds[:, 0], (2,), stream)
    top = (luck[:, 0] * (height - size[0] + 1)).long()
    left = (luck[:, 1] * (width - size[1] + 1)).long()

    def count_to(end: int) -> Tensor:
        return torch.arange(end, device=planes.device)

    return (
        count_to(count).view(-1, 1, 1, 1),
        count_to(channels).view(1, -1, 1, 1),
        (top.unsqueeze(1) + count_to(size[0])).view(count, 1, -1, 1),
        (left.unsqueeze(1) + count_to(size[1])).view(count, 1, 1, -1),
    )


# L∞


def _stripes(batch: Batch) -> Tensor:
    """±ε in vertical stripes, each of its own sign in each channel."""
    count, channels, height, width = _planes(batch.x).shape
    return (_signs(batch, (channels, 1, width), START) * column(batch.eps, _planes(batch.x))).expand(
        count, channels, height, width
    )


def _repaint(batch: Batch, current: Tensor, share: float, query: int) -> Tensor:
    """Every channel of the window becomes ε above or ε below the clean input."""
    clean = _planes(batch.x)
    shift = _planes(current) - clean
    size = _window(clean.shape[2], clean.shape[3], share, least=1)
    colour = _signs(batch, (clean.shape[1], 1, 1), COIN + query) * column(batch.eps, clean)
    shift[_places(batch, clean, size, 3 * query)] = colour.expand(-1, -1, *size)
    return shift


# L2


def _hill(height: int, width: int, like: Tensor) -> Tensor:
    """A pattern of unit norm: a peak and beside it its mirror image below zero (the paper, section 3.3)."""
    halves = [h for h in (height // 2, height - height // 2) if h]
    rows = []
    for sign, half in zip((1.0, -1.0), halves, strict=False):
        down = (torch.arange(half, device=like.device) - half // 2).abs().unsqueeze(1)
        across = (torch.arange(width, device=like.device) - width // 2).abs().unsqueeze(0)
        ring = torch.maximum(down.expand(half, width), across.expand(half, width))
        steps = 1 / (1 + torch.arange(max(half, width), device=like.device)).to(like) ** 2
        rows.append(sign * steps.flip(0).cumsum(0).flip(0)[ring])
    hill = torch.cat(rows)
    length: Tensor = torch.linalg.vector_norm(hill)
    return hill / length


def _scaled(shift: Tensor, batch: Batch) -> Tensor:
    length = torch.linalg.vector_norm(shift.flatten(1), dim=1).clamp(min=1e-12)
    return shift * column(batch.eps / length, shift)


def _tiles(batch: Batch) -> Tensor:
    """A grid of five by five hills, each of its own sign in each channel."""
    clean = _planes(batch.x)
    _, channels, height, width = clean.shape
    size = max(height // 5, 1), max(width // 5, 1)
    grid = height // size[0], width // size[1]
    signs = _signs(batch, (channels, *grid), START).contiguous()
    shift = torch.zeros_like(clean)
    shift[:, :, : grid[0] * size[0], : grid[1] * size[1]] = torch.kron(signs, _hill(*size, clean))
    return _scaled(shift, batch)


def _move_mass(batch: Batch, current: Tensor, share: float, query: int) -> Tensor:
    """The change in one window is cleared, and its share of ε goes to a hill in another window."""
    clean = _planes(batch.x)
    shift = _planes(current) - clean
    channels, height, width = clean.shape[1:]
    size = _window(height, width, share, least=min(3, height * width))
    to, from_ = (_places(batch, clean, size, 3 * query + i) for i in (0, 1))
    hill = _hill(*size, clean)
    if size[0] == size[1]:
        lies = uniform(batch.seeds[:, 0], (1, 1, 1), COIN + 2 * query) < 0.5
        hill = torch.where(lies, hill, hill.T)
    old = shift[to]
    unused = (batch.eps.square() - shift.flatten(1).square().sum(dim=1)).clamp(min=0) / channels
    before = shift.square().sum(dim=(2, 3))
    shift[from_] = 0
    shift[to] = 0
    freed = (before - shift.square().sum(dim=(2, 3)) + unused.unsqueeze(1)).clamp(min=0).sqrt()
    new = hill * _signs(batch, (channels, 1, 1), COIN + 2 * query + 1)
    new = new + old / _length(old)
    shift[to] = new / _length(new) * freed[:, :, None, None]
    return _scaled(shift, batch)


def _length(windows: Tensor) -> Tensor:
    return windows.square().sum(dim=(2, 3), keepdim=True).sqrt().clamp(min=1e-12)


ATTACK = EvasionAttack(
    square,
    search="smallest",
    paper="Andriushchenko et al. 2020, Square attack: a query-efficient black-box adversarial attack via "
    "random search",
    level="standard",
    cost=5000,
    steps="queries",
    on="survivors",
    sees="scores",
)
