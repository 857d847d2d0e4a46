"""Compressed tensors: what is not zero, and where it stands. Bit for bit, every NaN included.

A negative zero (``torch.nn.utils.prune`` leaves them) is a zero, and comes back as one. Of each tensor the
smallest form is kept: as it is; a bit mask and the values; or, where it is sparser than one in 32, their
positions and the values. That is never more than a CSR matrix with indices of 32 bits, which also says where
its rows begin.
"""

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from pruning.errors import PruningError

_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_POSITIONS = 2**31
"""Elements of a tensor that an int32 can number."""
_ENTRY = 200
"""Bytes that a tensor in two parts costs in the file's header, about."""


class Form(BaseModel):
    """How one tensor is kept: ``NAME#where`` and ``NAME#values`` stand for NAME."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    where: Literal["mask", "positions"]
    """uint8 bits, highest first, one an element; or int32 positions in row-major order."""
    shape: tuple[int, ...] = Field(strict=False)


def pack(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Form]]:
    """Tensors in their smallest forms, and the forms of those that are not as they were."""
    packed: dict[str, Tensor] = {}
    forms: dict[str, Form] = {}
    for name, tensor in unsigned_zeros(tensors).items():
        where, values = f"{name}#where", f"{name}#values"
        form = _smallest(tensor)
        if form is None or where in tensors or values in tensors:
            packed[name] = tensor
            continue
        bits = _bits(tensor).numpy()
        positions = np.flatnonzero(bits)
        kept = torch.from_numpy(bits[positions])
        packed[values] = kept.view(tensor.dtype)
        found = np.packbits(bits != 0) if form.where == "mask" else positions.astype(np.int32)
        packed[where] = torch.from_numpy(found)
        forms[name] = form
    return packed, forms


def unsigned_zeros(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, with 0.0 wherever a float is -0.0; those without one are not copied."""
    found = dict(tensors)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.element_size() > 1:  # float8 has no such operations
            negative = (tensor == 0) & tensor.signbit()
            if negative.any():
                found[name] = tensor.masked_fill(negative, 0.0)
    return found


def unpack(packed: Mapping[str, Tensor], forms: Mapping[str, Form]) -> dict[str, Tensor]:
    """The inverse of :func:`pack`. Raises PruningError, by name, where the parts do not make that tensor."""
    tensors = dict(packed)
    for name, form in forms.items():
        where, values = tensors.pop(f"{name}#where", None), tensors.pop(f"{name}#values", None)
        if where is None or values is None or name in tensors:
            raise PruningError(f"{name}: is said to be compressed, but its two parts are not there")
        positions = _positions(name, form, where)
        if values.dim() != 1 or len(values) != len(positions) or values.element_size() not in _BITS:
            raise PruningError(f"{name}: {len(positions)} places for values of shape {tuple(values.shape)}")
        bits = torch.zeros(math.prod(form.shape), dtype=_BITS[values.element_size()])
        bits[torch.from_numpy(positions)] = values.contiguous().view(bits.dtype)
        tensors[name] = bits.view(values.dtype).reshape(form.shape)
    return tensors


def _smallest(tensor: Tensor) -> Form | None:
    """None: as it is."""
    size, width = tensor.numel(), tensor.element_size()
    if width not in _BITS or tensor.is_complex() or not 0 < size < _POSITIONS:
        return None
    values = int(_bits(tensor).count_nonzero()) * width
    mask, positions = -(-size // 8), values // width * 4
    if min(mask, positions) + values + _ENTRY >= size * width:
        return None
    return Form(where="mask" if mask <= positions else "positions", shape=tuple(tensor.shape))


def _bits(tensor: Tensor) -> Tensor:
    """A tensor's elements in a row, as integers of the same bits."""
    flat = tensor.detach().cpu().contiguous().flatten()
    return flat.view(_BITS[tensor.element_size()])


def _positions(name: str, form: Form, where: Tensor) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Where the values stand; nothing is allocated before the claims of a hostile file have been checked."""
    size = math.prod(form.shape)
    if not all(side >= 0 for side in form.shape) or size >= _POSITIONS:
        raise PruningError(f"{name}: its shape {form.shape} cannot be")
    wanted = torch.uint8 if form.where == "mask" else torch.int32
    if where.dtype != wanted or where.dim() != 1:
        raise PruningError(
            f"{name}: a {form.where} of {where.dtype} {tuple(where.shape)}, want {wanted} (n,)"
        )
    if form.where == "mask":
        if len(where) != -(-size // 8):
            raise PruningError(f"{name}: a mask of {len(where)} bytes for {size} elements")
        bits = np.unpackbits(where.numpy())
        if bits[size:].any():
            raise PruningError(f"{name}: its mask goes on behind its {size} elements")
        return np.flatnonzero(bits)
    positions = where.numpy().astype(np.int64)
    if not ((np.diff(positions, prepend=-1) > 0).all() and (positions < size).all()):
        raise PruningError(f"{name}: its positions do not rise from 0 to below {size}")
    return positions
