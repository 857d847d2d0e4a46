"""Norm balls: the sets of perturbed inputs an attacker may choose from. All tensors are (N, …), ε is (N,)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Bounds = tuple[float, float]

TOLERANCE = 1e-6
"""Rounding allowed when a perturbed input is held against its ball, relative to the size of its entries."""


@dataclass(frozen=True, slots=True)
class Ball:
    """The geometry of one norm."""

    steepest: Callable[[Tensor], Tensor]
    """The step of unit norm along which a function of this gradient rises fastest."""
    project: Callable[[Tensor, Tensor, Tensor, Bounds], Tensor]
    """(moved, centre, ε, bounds) → the closest input inside the ball and the bounds."""
    sample: Callable[[Tensor, Tensor, Tensor, Bounds], Tensor]
    """(seeds, centre, ε, bounds) → a random input inside ball and bounds, from one seed an example."""
    distance: Callable[[Tensor, Tensor], Tensor]
    """Norm of the difference of two inputs, (N,) float64."""
    slope: Callable[[Tensor], Tensor]
    """Rise of a function of this gradient per unit of its steepest step: the dual norm, (N,) float64."""


def column(values: Tensor, like: Tensor) -> Tensor:
    """(N,) values shaped to broadcast over (N, …)."""
    return values.view(-1, *[1] * (like.ndim - 1))


def slack(centre: Tensor, eps: Tensor) -> Tensor:
    """The rounding allowed around each input, (N,) float64: inputs of large entries round more coarsely."""
    return TOLERANCE * (centre.flatten(1).abs().amax(dim=1).double() + eps.double())


def _linf_project(moved: Tensor, centre: Tensor, eps: Tensor, bounds: Bounds) -> Tensor:
    reach = column(eps, centre)
    return torch.clamp(moved, centre - reach, centre + reach).clamp_(*bounds)


def _linf_sample(seeds: Tensor, centre: Tensor, eps: Tensor, bounds: Bounds) -> Tensor:
    """Uniform in the ball, then clipped to the bounds; one stream an example, whatever its batch."""
    noise = torch.stack(
        [
            torch.empty(centre.shape[1:]).uniform_(-1, 1, generator=torch.Generator().manual_seed(seed))
            for seed in seeds.tolist()
        ]
    ).to(centre)
    return _linf_project(centre + noise * column(eps, centre), centre, eps, bounds)


def _linf_distance(a: Tensor, b: Tensor) -> Tensor:
    return (a.double() - b.double()).flatten(1).abs().amax(dim=1)


def _l1_norm(gradient: Tensor) -> Tensor:
    return gradient.flatten(1).double().abs().sum(dim=1)


BALLS = {"linf": Ball(torch.sign, _linf_project, _linf_sample, _linf_distance, _l1_norm)}
