"""Norm balls: the sets of perturbed inputs an attacker may choose from. All tensors are (N, …), ε is (N,)."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.evasion._random import normal, uniform
from attacks.probe import Features

Bounds = tuple[float, float] | tuple[Tensor, Tensor]
"""Smallest and largest value: of every feature, or (1, …) of each."""

TOLERANCE = 1e-6
"""Rounding allowed when a perturbed input is held against its ball, relative to the size of its entries."""


@dataclass(frozen=True, slots=True)
class Ball:
    """The geometry of one norm."""

    steepest: Callable[[Tensor], Tensor]
    """The step of unit norm along which a function of this gradient rises fastest; 0 for a gradient of 0."""
    project: Callable[[Tensor, Tensor, Tensor, Bounds], Tensor]
    """(moved, centre, ε, bounds) → the closest input inside ball and bounds; the centre is in both."""
    sample: Callable[[Tensor, Tensor, Tensor, Bounds], Tensor]
    """(seeds, centre, ε, bounds) → a random input inside ball and bounds, from one seed an example."""
    distance: Callable[[Tensor, Tensor], Tensor]
    """Norm of the difference of two inputs, (N,) float64."""
    slope: Callable[[Tensor], Tensor]
    """Rise of a function of this gradient per unit of its steepest step: the dual norm, (N,) float64."""
    name: str
    """Of the norm, as a plan has it."""
    features: Features | None = None
    """What each feature may be, where features are not alike (see :mod:`attacks.evasion._features`)."""

    def step(
        self, point: Tensor, gradient: Tensor, length: Tensor, centre: Tensor, eps: Tensor, bounds: Bounds
    ) -> Tensor:
        """From each point (N, …) so far, (N,), along the steepest ascent, then back into ball and bounds."""
        moved = self.steepest(gradient).mul_(column(length, point)).add_(point)  # its own: it may be changed
        return self.project(moved, centre, eps, bounds)

    def widest(self, like: Tensor, bounds: tuple[float, float]) -> Tensor:
        """The distance of two opposite corners of the bounds of inputs (N, …), a scalar."""
        low, high = (like.new_full((1, *like.shape[1:]), bound) for bound in bounds)
        if self.features is not None:
            low = self.features.low
            high = torch.where(self.features.mutable, self.features.high, low)
        return self.distance(high, low)[0]


def column(values: Tensor, like: Tensor) -> Tensor:
    """(N,) values shaped to broadcast over (N, …)."""
    return values.view(-1, *[1] * (like.ndim - 1))


def half_cosine(step: int, steps: int) -> float:
    """What falls from 1 at step 0 to 0 after the last: large steps first, small ones to settle."""
    return (1 + math.cos(math.pi * step / steps)) / 2


def slack(centre: Tensor, *lengths: Tensor) -> tuple[Tensor, ...]:
    """For each of some lengths (N,), ε or distances, the rounding allowed around inputs, (N,) float64: inputs
    of large entries round more coarsely."""
    tolerance = 1e-12 if centre.dtype == torch.float64 else TOLERANCE
    size = centre.flatten(1).abs().amax(dim=1).double()
    return tuple(tolerance * (size + length.double()) for length in lengths)


def _linf_project(moved: Tensor, centre: Tensor, eps: Tensor, bounds: Bounds) -> Tensor:
    reach = column(eps, centre)
    return torch.clamp(moved, centre - reach, centre + reach).clamp_(*bounds)


def _linf_sample(seeds: Tensor, centre: Tensor, eps: Tensor, bounds: Bounds) -> Tensor:
    """Uniform in the ball, then clipped to the bounds."""
    noise = uniform(seeds, centre.shape[1:]).mul_(2).sub_(1).to(centre)
    return _linf_project(centre + noise * column(eps, centre), centre, eps, bounds)


def _linf_distance(a: Tensor, b: Tensor) -> Tensor:
    return (a.double() - b).flatten(1).abs_().amax(dim=1)


def _l1_norm(gradient: Tensor) -> Tensor:
    return gradient.flatten(1).double().abs().sum(dim=1)


def _l2_norm(values: Tensor) -> Tensor:
    return values.flatten(1).double().square().sum(dim=1).sqrt()


def _l2_steepest(gradient: Tensor) -> Tensor:
    """In float64 and scaled first: squares of tiny gradients underflow."""
    flat = gradient.flatten(1).double()
    flat = flat / flat.abs().amax(dim=1, keepdim=True).clamp(min=1e-300)
    norm = flat.square().sum(dim=1, keepdim=True).sqrt().clamp_(min=1e-300)
    return (flat / norm).to(gradient).view_as(gradient)


def _l2_project(moved: Tensor, centre: Tensor, eps: Tensor, bounds: Bounds) -> Tensor:
    """Exact: the closest point is clamp(centre + s · (moved − centre)) with the largest s ≤ 1 inside the ball
    (the conditions of Karush, Kuhn and Tucker). Its norm rises with s, and what s clips stays clipped as s
    grows, so that s follows in a few rounds from the entries that are not clipped yet."""
    shift = (moved - centre).flatten(1)
    up, down = (bounds[1] - centre).flatten(1), (centre - bounds[0]).flatten(1)
    room = torch.where(shift > 0, up, down).clamp_(min=0)
    size = shift.abs()
    squares, room_squares, target = size.square(), room.square(), eps.square()
    scale = (eps / squares.sum(dim=1).sqrt().clamp_(min=1e-30)).clamp_(max=1)
    while True:
        clipped = size * scale.unsqueeze(1) >= room
        left = target - torch.where(clipped, room_squares, 0).sum(dim=1)
        free = torch.where(clipped, 0, squares).sum(dim=1)
        wider = torch.where(free > 0, (left.clamp(min=0) / free.clamp(min=1e-30)).sqrt(), scale).clamp_(max=1)
        rising = wider > scale * (1 + 1e-6)
        if not bool(rising.any()):
            break
        scale = torch.where(rising, wider, scale)
    return (centre + (shift * scale.unsqueeze(1)).view_as(centre)).clamp_(*bounds)


def _l2_sample(seeds: Tensor, centre: Tensor, eps: Tensor, bounds: Bounds) -> Tensor:
    """Uniform in the ball (a random direction, the radius by volume), then the closest in the bounds."""
    noise = normal(seeds, centre.shape[1:])
    length = uniform(seeds, (1,)).squeeze(1) ** (1 / centre[0].numel()) / _l2_norm(noise)
    moved = centre + (noise * column(length * eps, centre)).to(centre)
    return _l2_project(moved, centre, eps, bounds)


def _l2_distance(a: Tensor, b: Tensor) -> Tensor:
    return _l2_norm(a.double() - b.double())


BALLS = {
    "linf": Ball(torch.sign, _linf_project, _linf_sample, _linf_distance, _l1_norm, "linf"),
    "l2": Ball(_l2_steepest, _l2_project, _l2_sample, _l2_distance, _l2_norm, "l2"),
}
