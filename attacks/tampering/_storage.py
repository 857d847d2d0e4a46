"""How a weight is stored, as bits: float32, bfloat16, and int8 with one scale a tensor."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Storage = Literal["float32", "bfloat16", "int8"]
Codes = NDArray[np.int64]

LARGEST = 127
"""Of int8: quantisation is symmetric, −128 is written by nobody but a flipped bit."""


@dataclass(frozen=True, slots=True)
class Format:
    """``code``: a signed integer type of that many bits; ``value``: what the bits stand for."""

    bits: int
    code: torch.dtype
    value: torch.dtype


FORMATS: dict[Storage, Format] = {
    "float32": Format(32, torch.int32, torch.float32),
    "bfloat16": Format(16, torch.int16, torch.bfloat16),
    "int8": Format(8, torch.int8, torch.int8),
}


def scale_of(values: Tensor, storage: Storage) -> float:
    """What one step of the codes is worth: of int8 the largest magnitude over 127, as progressive bit search
    has it (Rakin et al. 2019); of floats 1. 1 too where there is nothing but zeros."""
    if storage != "int8" or values.numel() == 0:
        return 1.0
    return float(values.abs().max()) / LARGEST or 1.0


def encode(values: Tensor, storage: Storage, scale: float) -> Tensor:
    """float32 values → their codes, integers of the format's width.

    bfloat16 rounds to the nearest, ties to even, and so does int8: w → round(w / scale), which comes back as
    a number at most scale / 2 away. Raises ValueError for values that are not finite.
    """
    if not bool(torch.isfinite(values).all()):
        raise ValueError("some weights are NaN or infinite")
    form = FORMATS[storage]
    if storage == "int8":
        return torch.round(values / scale).clamp(-LARGEST, LARGEST).to(form.code)
    return values.to(form.value).view(form.code)


def decode(codes: Tensor, storage: Storage, scale: float) -> Tensor:
    """Codes → the float32 values that they stand for; a flipped bit can make floats NaN or infinite."""
    if storage == "int8":
        return codes.float() * scale
    return codes.view(FORMATS[storage].value).float()


def pattern(bits: NDArray[np.int64], storage: Storage) -> NDArray[np.signedinteger]:
    """Codes with that one bit set, for an exclusive or; bit 0 is the least significant."""
    width = FORMATS[storage].bits
    unsigned = np.left_shift(np.uint64(1), bits.astype(np.uint64))
    found: NDArray[np.signedinteger] = unsigned.astype(f"u{width // 8}").view(f"i{width // 8}")
    return found
