"""Views of a model: the same decisions, with gradients that can be climbed."""

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from attacks._model import checked
from attacks.evasion._attack import Batch
from attacks.evasion._differences import UNTOLD, untold
from attacks.evasion._losses import climb, margin, odds
from attacks.evasion._random import uniform
from attacks.evasion._scale import probabilities
from attacks.evasion._straight_through import StraightThrough, lent

MARGIN = 10.0
"""The median margin that logits are rescaled to: a healthy network's. Far above, the log-odds turn into the
margin alone; far below, into the mean of all classes; and cross-entropy fades in float32."""
PROBES = 100
"""Inputs of each kind on which an inner tensor must decide as the model does."""
DIRECTIONS = 64
"""In which the loss is followed to estimate a gradient; inputs of no more values have them all."""
ROWS = 2048
"""Inputs that go through the model at a time while a gradient is estimated."""
TELLING = 4.0
"""By what factor a gradient may misjudge how the loss rises over half of the smallest ε."""
NEAR = 0.1
"""How far the loss is followed, as a share of the smallest ε."""
TINY = {torch.float64: 1e-300}


class View(nn.Module):
    """A model as logits of moderate size with gradients to climb.

    Operations without a gradient are passed straight through (:mod:`attacks.evasion._straight_through`).
    Where a tensor inside the model decides as its outputs do (the logits before a softmax, a clamp, a rank),
    that is climbed (``place``: its number among the tensors of that shape); else the outputs, and the
    logarithms of probabilities. Random outputs are averaged over ``draws`` passes (expectation over
    transformation, Athalye et al. 2018). Logits are divided by ``scale``. ``answers``: a model whose outputs
    are shown in place of this one's, with this one's gradient.
    """

    def __init__(
        self,
        model: nn.Module,
        classes: int,
        dtype: torch.dtype,
        place: int | None = None,
        scale: float = 1.0,
        draws: int = 1,
        answers: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self._model, self._classes, self._dtype, self._draws = model, classes, dtype, draws
        self.place, self.scale, self.answers = place, scale, answers

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, C)."""
        mean: Tensor = torch.stack([self._once(x) for _ in range(self._draws)]).mean(dim=0)
        logits: Tensor = mean / self.scale
        if self.answers is not None:
            with torch.no_grad():
                answers = self.answers(x.detach())
            return lent(logits, answers / self.scale)
        return logits

    def _once(self, x: Tensor) -> Tensor:
        x = x.to(self._dtype)
        with StraightThrough(x, self._classes) as through:
            outputs: Tensor = self._model(x)
        if self.place is not None and self.place < len(through.rows):
            outputs = _decided(through.rows[self.place], outputs.detach())
        elif bool(probabilities(outputs.detach()).all()):
            outputs = outputs.clamp(min=TINY.get(outputs.dtype, 1e-38)).log()
        return outputs


def _decided(logits: Tensor, outputs: Tensor) -> Tensor:
    """The logits, with the class that the outputs decide for lifted to the top where they decide otherwise:
    they may be rounded and tied, and an attack that stops where the logits turn stops short of the model."""
    told = outputs.argmax(dim=1, keepdim=True)
    top = logits.detach().amax(dim=1, keepdim=True)
    here = logits.detach().gather(1, told)
    above = top + top.abs().clamp(min=1) * torch.finfo(logits.dtype).eps * 4
    lift = torch.where(logits.argmax(dim=1, keepdim=True) == told, 0.0, above - here)
    return logits + torch.zeros_like(logits).scatter_(1, told, lift.to(logits.dtype))


class Estimated(nn.Module):
    """A view whose input gradient is estimated from differences of its outputs.

    Inputs of at most :data:`DIRECTIONS` values: central differences along each. Larger ones: along random
    signs, in pairs (SPSA, Spall 1992), which depend on the input alone.
    """

    def __init__(self, view: nn.Module, reach: float) -> None:
        super().__init__()
        self._view, self._reach = view, reach

    def forward(self, x: Tensor) -> Tensor:
        """The view's logits (N, C)."""
        found: Tensor = _Differences.apply(x, self._view, self._reach)  # type: ignore[no-untyped-call]
        return found


class _Differences(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, view: Callable[[Tensor], Tensor], reach: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.view, ctx.reach = view, reach
        with torch.no_grad():
            return view(x)

    @staticmethod
    @torch.no_grad()
    def backward(ctx: Any, weights: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        steps = _directions(x)
        reach = ctx.reach if steps.shape[0] == x[0].numel() else ctx.reach / math.sqrt(x[0].numel())
        gradient, size = torch.zeros_like(x), max(ROWS // (2 * len(x)), 1)
        for some in torch.split(steps, size):
            ends = torch.cat((x + reach * some, x - reach * some)).flatten(0, 1)
            rise = (ctx.view(ends).view(-1, *weights.shape) * weights).sum(dim=2)
            up, down = rise.chunk(2)
            slope = ((up - down) / (2 * reach)).to(x)
            gradient += (slope.view(*slope.shape, *[1] * (x.ndim - 1)) * some).sum(dim=0)
        exact = len(steps) == x[0].numel()
        return gradient if exact else gradient / len(steps), None, None


def _directions(x: Tensor) -> Tensor:
    """(K, N or 1, …): every value on its own, or random signs."""
    shape = x.shape[1:]
    if x[0].numel() <= DIRECTIONS:
        return (
            torch.eye(x[0].numel(), device=x.device, dtype=x.dtype)
            .view(-1, 1, *shape)
            .expand(-1, len(x), *shape)
        )
    bits = x.detach().float().contiguous().view(torch.int32).long().flatten(1)
    odd = 2 * torch.arange(bits.shape[1], device=x.device) + 1
    seeds = (bits * odd * 0x9E3779B9).sum(dim=1)
    return torch.stack(
        [torch.where(uniform(seeds, shape, k) < 0.5, -1.0, 1.0).to(x) for k in range(DIRECTIONS)]
    )


def seen(part: Batch, view: nn.Module, starts: int) -> Batch:
    """The batch as the view shows it."""
    logits, _, gradient = climb(view, part.x, part.y)
    seeds = part.seeds[:, :1] + torch.arange(starts, device=part.x.device).unsqueeze(0)
    return replace(part, model=view, logits=logits, gradient=gradient.nan_to_num(), seeds=seeds)


def in_double(model: nn.Module, x: Tensor) -> nn.Module | None:
    """The model in float64; None where it cannot be had. ``x``: inputs, (N, …)."""
    try:
        found = copy.deepcopy(model).double()
        with torch.no_grad():
            seen = found(x[:1].double())
        return found if seen.dtype == torch.float64 else None
    except Exception:  # whatever a foreign model raises: it was not made for float64
        return None


def view_of(batch: Batch, model: nn.Module, dtype: torch.dtype, draws: int) -> View:
    """The view of ``model`` (the batch's own, or its twin of another ``dtype``) that suits it best."""
    classes = batch.logits.shape[1]
    x = _probes(batch).to(dtype).requires_grad_()
    with torch.enable_grad(), StraightThrough(x, classes) as through:
        outputs = model(x)
    place = _deciding(through.rows, outputs.detach())
    plain = View(model, classes, dtype, place, draws=draws)
    with torch.no_grad():
        shown = checked(plain(x.detach()))
        typical = float(margin(checked(plain(batch.x)), batch.y).median())
        own = checked(batch.model(x.detach().to(batch.x)))
    differs = draws == 1 and place is None and not bool(probabilities(own).all()) and _disagree(shown, own)
    scale = typical / MARGIN if typical > 0 else 1.0
    return View(model, classes, dtype, place, scale, draws, batch.model if differs else None)


def _probes(batch: Batch) -> Tensor:
    """Some examples, their mixtures in pairs, and random inputs within bounds."""
    x = batch.x[:PROBES]
    low, high = batch.bounds
    luck = uniform(batch.seeds[:PROBES, 0], x.shape[1:], 7).to(x)
    return torch.cat((x, (x + x.roll(1, 0)) / 2, low + (high - low) * luck, (x + x.roll(2, 0)) / 2)).detach()


def _deciding(rows: list[Tensor], outputs: Tensor) -> int | None:
    """The first tensor that has a gradient and ranks first what the outputs do; ties may go either way."""
    best = outputs.topk(2, dim=1).values
    clear, answers = best[:, 0] > best[:, 1], outputs.argmax(dim=1)
    if bool((answers[clear] == answers[clear][:1]).all()):
        return None
    return next(
        (
            k
            for k, row in enumerate(rows)
            if row.requires_grad and bool((row.argmax(1) == answers)[clear].all())
        ),
        None,
    )


def _disagree(shown: Tensor, own: Tensor) -> bool:
    best = own.topk(2, dim=1).values
    clear = best[:, 0] > best[:, 1]
    return bool((shown.argmax(dim=1) != own.argmax(dim=1))[clear].any())


def misleading(batch: Batch, view: nn.Module, eps: float) -> Tensor:
    """Whether the view's gradient does not say what the loss does, (N,) bool: half of ε along it, or in
    random directions, near by and farther away; or there is none."""
    part = seen(batch, view, 1)
    step = part.ball.steepest(part.gradient) * (eps / 2)
    moved = (part.x + step).clamp(*part.bounds)
    told = (part.gradient * (moved - part.x)).flatten(1).sum(dim=1)
    with torch.no_grad():
        rise = odds(checked(view(moved)), part.y)[0] - odds(part.logits, part.y)[0]
    dead = (part.gradient == 0).flatten(1).all(dim=1)
    reaches = (NEAR * eps, eps / 2, eps)  # near by there are kinks of rounding, far away those of the network
    hidden = torch.stack([untold(batch, view, eps, reach) for reach in reaches]).amin(dim=0) > UNTOLD
    return dead | hidden | (rise < told / TELLING) | (rise > told * TELLING)


def flat(batch: Batch, eps: float) -> bool:
    """Whether the margins of most examples stay the same, to the bit, under noise of size ε."""
    noise = batch.ball.sample(batch.seeds[:, 0], batch.x, torch.full_like(batch.eps, eps), batch.bounds)
    with torch.no_grad():
        same = margin(checked(batch.model(noise)), batch.y) == batch.margin
    return bool(same.double().mean() > 0.5)
