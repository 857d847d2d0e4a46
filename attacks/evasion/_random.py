"""Random numbers that depend on one seed an example and on nothing else: not on batch, device or thread."""

import math

import torch
from torch import Tensor

_WEYL = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed integer
_MIX1, _MIX2 = -4658895280553007687, -7723592293110705685  # 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def _shifted(z: Tensor, bits: int) -> Tensor:
    """Logical shift to the right (torch's is arithmetic)."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def _bits(seeds: Tensor, count: int, stream: int) -> Tensor:
    """64 random bits, (N, count) int64: SplitMix64 (Steele et al. 2014) of seed and position."""
    place = torch.arange(1, count + 1, device=seeds.device) + (stream << 40)
    z = seeds.unsqueeze(1) + place * _WEYL
    z = (z ^ _shifted(z, 30)) * _MIX1
    z = (z ^ _shifted(z, 27)) * _MIX2
    return z ^ _shifted(z, 31)


def uniform(seeds: Tensor, shape: torch.Size | tuple[int, ...], stream: int = 0) -> Tensor:
    """Uniform in (0, 1), (N, *shape) float64, from seeds (N,) int64. Streams are independent."""
    bits = _shifted(_bits(seeds, math.prod(shape), stream), 11)
    return ((bits.double() + 0.5) * 2.0**-53).view(len(seeds), *shape)


def normal(seeds: Tensor, shape: torch.Size | tuple[int, ...], stream: int = 0) -> Tensor:
    """Standard normal, (N, *shape) float64 (Box & Muller 1958)."""
    radius = (-2 * uniform(seeds, shape, 2 * stream + 1).log()).sqrt()
    return radius * (2 * math.pi * uniform(seeds, shape, 2 * stream + 2)).cos()
