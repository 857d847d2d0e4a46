"""Checkpoints as other tools write them: masks beside weights, bit masks and values, narrower layers.

Each function takes a state dict (or what stands beside it) and gives it back as an ordinary one, or says as
removals (:mod:`pruning.removal`) what the other tool has removed. Nothing here runs code of the file's.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pruning import prunable, removal, tracing
from pruning.errors import PruningError
from pruning.removal import Removal

State = Mapping[str, Tensor]


def folded(state: State) -> tuple[dict[str, Tensor], list[str]]:
    """Masks of ``torch.nn.utils.prune`` folded in: NAME = NAME_orig where NAME_mask is not 0, else 0.

    Returns the state dict without the pairs, and the names that were folded. A product with the mask, as
    ``prune.remove`` leaves it, would hold -0.0. Raises PruningError where the two differ in shape.
    """
    names = [
        name.removesuffix("_orig")
        for name in state
        if name.endswith("_orig") and f"{name.removesuffix('_orig')}_mask" in state
    ]
    plain = dict(state)
    for name in names:
        weight, mask = plain.pop(f"{name}_orig"), plain.pop(f"{name}_mask")
        if weight.shape != mask.shape or {weight.layout, mask.layout} != {torch.strided}:
            raise PruningError(
                f"{name}_mask, {mask.layout} {tuple(mask.shape)}, is no mask of {name}_orig, "
                f"{weight.layout} {tuple(weight.shape)}"
            )
        plain[name] = torch.where(mask != 0, weight * mask, torch.zeros_like(weight))
    return plain, names


def unpacked(state: State) -> tuple[dict[str, Tensor], list[str]]:
    """Weights of the ``sparse-bitmask`` format of compressed-tensors (vLLM, llm-compressor), dense again.

    For LAYER.weight it keeps ``LAYER.compressed``, its non-zero values in order; ``LAYER.bitmask``, uint8
    bits, lowest first, each row padded to whole bytes; ``LAYER.shape``; and ``LAYER.row_offsets``. Returns
    the state dict with the weights, and their names. Raises PruningError, by name, where the parts do not
    make a tensor.
    """
    plain = dict(state)
    layers = [
        name.removesuffix(".bitmask")
        for name in state
        if name.endswith(".bitmask") and f"{name.removesuffix('.bitmask')}.compressed" in state
    ]
    for layer in layers:
        parts = [plain.pop(f"{layer}.{part}", None) for part in ("compressed", "bitmask", "shape")]
        plain.pop(f"{layer}.row_offsets", None)
        plain[f"{layer}.weight"] = _from_bits(layer, *parts)
    return plain, [f"{layer}.weight" for layer in layers]


def _from_bits(layer: str, values: Tensor | None, bits: Tensor | None, sides: Tensor | None) -> Tensor:
    """One tensor; nothing is allocated before the claims of a hostile file have been checked."""
    assert values is not None
    assert bits is not None
    shape = tuple(int(side) for side in sides) if sides is not None and sides.dim() == 1 else ()
    rows, wide = math.prod(shape[:-1]), -(-shape[-1] // 8) if shape else 0
    if not shape or min(shape) < 1 or bits.dtype != torch.uint8 or bits.numel() != rows * wide:
        raise PruningError(f"{layer}: a bit mask of {bits.numel()} bytes does not fit the shape {shape}")
    kept = np.unpackbits(bits.reshape(rows, wide).numpy(), axis=1, count=shape[-1], bitorder="little")
    places = torch.from_numpy(kept.astype(bool)).reshape(shape)
    if values.dim() != 1 or len(values) != int(places.sum()):
        raise PruningError(f"{layer}: {int(places.sum())} places for values of shape {tuple(values.shape)}")
    found = torch.zeros(shape, dtype=values.dtype)
    found[places] = values
    return found


def history(entries: Sequence[Any]) -> tuple[Removal, ...]:
    """torch-pruning's ``pruning_history()``: (layer's name, whether outputs went, their indices) each.

    Raises PruningError for anything else.
    """
    found = []
    for entry in entries:
        match entry:
            case [str(layer), bool(out), [*indices]] if all(type(index) is int for index in indices):
                found.append(Removal(layer=layer, direction="out" if out else "in", indices=tuple(indices)))
            case _:
                raise PruningError(f"is no entry of torch-pruning's history: {str(entry)[:80]}")
    return tuple(found)


def is_history(value: object) -> bool:
    """Whether a value looks like torch-pruning's history; an empty one does not."""
    return (
        isinstance(value, list | tuple)
        and len(value) > 0
        and all(
            isinstance(entry, list | tuple)
            and [type(part) for part in entry[:2]] == [str, bool]
            and len(entry) == 3
            for entry in value
        )
    )


def shrunk(model: nn.Module, shapes: Mapping[str, torch.Size], example_input: Tensor) -> tuple[Removal, ...]:
    """Removals that bring a dense model to the shapes of a smaller one of which no history is known.

    Which channels went cannot be told from shapes, and need not be: the weights are the smaller model's own.
    The last ones are named. ``shapes``: parameter name → shape. ``example_input``: (N, …), to trace which
    layers hang together. Empty where no layer has fewer outputs. Raises PruningError, which names a layer,
    where a shape cannot be reached.
    """
    known = tracing.channels(model, example_input)
    gone: set[int] = set()
    found: list[Removal] = []
    for name in prunable.layers(model):
        wanted = shapes.get(prunable.weight_name(name, shapes))
        left = [unit for unit in known.out.get(name, np.empty(0, int)).tolist() if unit not in gone]
        if wanted is None or not 0 < wanted[0] < len(left):
            continue
        going: set[int] = set()
        while sum(unit not in going for unit in left) > wanted[0]:
            going.add(next(unit for unit in reversed(left) if unit not in going))
        if -1 in going:
            raise PruningError(f"{name} has {wanted[0]} outputs, and the model's {len(left)} cannot be fewer")
        indices = tuple(i for i, unit in enumerate(left) if unit in going)
        found.append(Removal(layer=name, direction="out", indices=indices))
        gone |= going
    if found and (wrong := _misfits(removal.without(model, removal.of_units(known, gone)), shapes)):
        raise PruningError(wrong)
    return tuple(found)


def _misfits(model: nn.Module, shapes: Mapping[str, torch.Size]) -> str:
    """The first parameters that are not of the wanted shapes, in words; empty if all are."""
    wrong = [
        f"{name} is {tuple(shapes[name])}, and the model's would become {tuple(value.shape)}"
        for name, value in model.state_dict().items()
        if name in shapes and shapes[name] != value.shape
    ]
    return "; ".join(wrong[:3])


def narrower(shapes: Mapping[str, torch.Size], own: Mapping[str, torch.Size]) -> bool:
    """Whether shapes are those of a model from which channels have gone: no side longer, some shorter."""
    pairs = [(shapes[name], own[name]) for name in own if name in shapes]
    return any(found != mine for found, mine in pairs) and all(
        len(found) == len(mine) and all(0 < a <= b for a, b in zip(found, mine, strict=True))
        for found, mine in pairs
    )
