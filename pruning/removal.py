"""Physical removal of units: a smaller, dense network, and the record from which it can be built again."""

import copy
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from pruning import heads, prunable, tracing
from pruning.errors import PruningError
from pruning.modes import examples


class Removal(BaseModel):
    """One step of a history: these channels of this layer went, and all that hangs on them."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    layer: str
    direction: Literal["out", "in"]
    indices: tuple[int, ...]
    """Channels, as numbered when the step was taken."""


History = Sequence[Removal]

Gone = Mapping[str, tuple[Tensor, Tensor]]
"""Layer → True for the rows, and for the columns, of its weight that go; of norms the entries."""


def replay(model: nn.Module, history: History, example_input: Tensor) -> nn.Module:
    """A smaller copy of a dense model: the steps of the history, taken again. The model is left as it was.

    ``example_input``: (N, …), used to trace and to check that the smaller model runs and its logits keep
    their shape. Modes and ``requires_grad`` are those of the model, gradients are dropped. Raises
    PruningError if a step does not fit the model, or if the model does not survive it.
    """
    if not history:
        return copy.deepcopy(model)
    smaller = without(model, resolve(model, history, example_input))
    layers = [step.layer for step in history]
    check_runs(smaller, example_input, tracing.logits(model, example_input[:1]).shape, layers)
    return smaller


def masked(model: nn.Module, history: History, example_input: Tensor) -> nn.Module:
    """The same removal with zeros, for comparison: a copy of unchanged shape.

    What produces a removed channel is zero (weight and bias), and so are the columns that read it: with any
    activation the outputs equal those of :func:`replay`. Raises PruningError if a step does not fit.
    """
    return zeroed(model, resolve(model, history, example_input))


def named(layers: Sequence[str]) -> str:
    """Layers in a sentence, each once, the first five."""
    names = list(dict.fromkeys(layers))
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def check_runs(smaller: nn.Module, example_input: Tensor, width: torch.Size, layers: Sequence[str]) -> Tensor:
    """The logits of a smaller model.

    Raises PruningError, which names these layers, if it does not run or answers in another shape than
    ``width``.
    """
    culprits = named(layers)
    try:
        now = tracing.logits(smaller, example_input[:1])
    except PruningError as error:
        raise PruningError(f"{culprits} cannot lose channels: {error}") from error
    if now.shape != width:
        raise PruningError(
            f"{culprits} cannot lose channels: the output was {tuple(width)} and became {tuple(now.shape)}"
        )
    return now


def tried(model: nn.Module, gone: Gone, example_input: Tensor) -> tuple[nn.Module, str]:
    """A smaller copy of a model, and what is wrong with it, in words; nothing where it is sound.

    Sound: it runs, and computes what the model computes with the same units zeroed, to the rounding of its
    numbers. ``example_input``: (N, …), of which the shape and dtype count.
    """
    smaller = without(model, gone)
    if not gone:
        return smaller, ""
    zeros, removed = zeroed(model, gone), smaller
    if any(not tensor.is_cpu for tensor in (*model.parameters(), *model.buffers())):
        # accelerators round products too coarsely (TF32) for the comparison
        zeros, removed = zeros.cpu(), copy.deepcopy(smaller).cpu()
    counted = prunable.counts(model)
    layers = [name for name, (rows, _) in gone.items() if name in counted and rows.any()]
    try:
        probe, expected = _probed(zeros, example_input)
        found = check_runs(removed, probe, expected.shape, layers)
        if _differ(expected, found, 1e-6) and example_input.is_floating_point():  # or is it rounding?
            zeros, removed = zeros.double(), copy.deepcopy(removed).double()
            expected, found = (tracing.logits(m, probe.double()) for m in (zeros, removed))
            if _differ(expected, found, 1e-9):
                difference = float((expected - found).abs().max())
                return smaller, (
                    f"removing units of {named(layers)} changes what the model computes (by "
                    f"{difference:.2g}): its channels are mixed in a way that cannot be traced"
                )
    except PruningError as error:
        return smaller, str(error)
    return smaller, ""


def _probed(model: nn.Module, example_input: Tensor) -> tuple[Tensor, Tensor]:
    """Noise of the shape of the cheapest example that the model takes, and the logits."""
    *cheaper, one = examples(example_input)
    for example in (*cheaper, one):
        noise = torch.rand(example.shape, generator=torch.Generator().manual_seed(0)).to(example.dtype)
        with suppress(PruningError) if example is not one else nullcontext():
            return noise, tracing.logits(model, noise)
    raise AssertionError("the last example is returned, or its error raised")


def _differ(expected: Tensor, found: Tensor, tolerance: float) -> bool:
    scale = float(expected.abs().max())
    return not float((expected - found).abs().max()) <= tolerance * scale  # NaN too


def zeroed(model: nn.Module, gone: Gone) -> nn.Module:
    """A copy with zeros for what goes."""
    same = copy.deepcopy(model)
    with torch.no_grad():
        for name, (rows, columns) in gone.items():
            layer = prunable.owner(same, name)
            if isinstance(layer, nn.MultiheadAttention):
                for tensor in _tensors(layer).values():
                    tensor.index_fill_(0, rows.nonzero().flatten().to(tensor.device), 0)
            elif isinstance(layer, prunable.LAYERS):
                weight = layer.get_parameter("weight")
                weight.index_fill_(0, rows.nonzero().flatten().to(weight.device), 0)
                if len(columns):
                    weight.index_fill_(1, columns.nonzero().flatten().to(weight.device), 0)
                if isinstance(layer.bias, Tensor):
                    layer.bias[rows.to(weight.device)] = 0
    return same


def without(model: nn.Module, gone: Gone) -> nn.Module:
    """A copy of a model that lacks rows, columns and entries."""
    # tensors are shared with the model until they are cut: only what stays whole is copied
    cut = {id(t) for name in gone for t in _tensors(prunable.owner(model, name)).values()}
    memo = {id(t): t for t in [*model.parameters(), *model.buffers()] if id(t) in cut}
    smaller = copy.deepcopy(model, memo)
    for name, (rows, columns) in gone.items():
        layer = prunable.owner(smaller, name)
        if isinstance(layer, nn.MultiheadAttention):
            heads.cut(layer, ~rows)
        else:
            _cut(layer, ~rows, ~columns)
    return smaller


def _tensors(layer: nn.Module) -> dict[str, Tensor]:
    found = {**layer._parameters, **layer._buffers}
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def _cut(layer: nn.Module, rows: Tensor, columns: Tensor) -> None:
    """Keep these rows and columns of a layer, in place, in tensors of its own."""
    for name, tensor in _tensors(layer).items():
        kept = tensor.detach()
        for dim, marks in enumerate((rows, columns)[: tensor.dim()]):
            if len(marks):
                kept = kept.index_select(dim, marks.nonzero().flatten().to(tensor.device))
        if tensor.dim() == 0:
            kept = kept.clone()
        if name in layer._parameters:
            layer._parameters[name] = nn.Parameter(kept, requires_grad=tensor.requires_grad)
        else:
            layer._buffers[name] = kept
    out, into = int(rows.sum()), int(columns.sum())
    match layer:
        case nn.Linear():
            layer.out_features, layer.in_features = out, into
        case nn.modules.conv._ConvNd() if tracing.depthwise(layer):
            layer.out_channels = layer.in_channels = layer.groups = out
        case nn.modules.conv._ConvNd():
            layer.out_channels, layer.in_channels = out, into
        case nn.modules.batchnorm._BatchNorm():
            layer.num_features = out
        case nn.PReLU():
            layer.num_parameters = out


def resolve(model: nn.Module, history: History, example_input: Tensor) -> Gone:
    """All that goes with a history, numbered as in the dense model.

    Raises PruningError if a step is not of this model, or would empty a layer.
    """
    prunable.refuse_tied(model)
    smaller, left = model, list(history)
    gone: dict[str, tuple[Tensor, Tensor]] = {}
    while left:
        marks, taken = _together(tracing.channels(smaller, example_input), smaller, left)
        left = left[taken:]
        gone |= {name: _further(gone.get(name), pair) for name, pair in marks.items()}
        if left:
            smaller = without(smaller, marks)
    return gone


def _further(before: tuple[Tensor, Tensor] | None, now: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Marks of what is left after earlier ones, added to those."""
    if before is None:
        return now
    found = (before[0].clone(), before[1].clone())
    for marks, later in zip(found, now, strict=True):
        marks[(~marks).nonzero().flatten()[later]] = True
    return found


def _together(known: tracing.Channels, model: nn.Module, history: History) -> tuple[Gone, int]:
    """What goes with the first steps of a history, and how many they are.

    They are taken at once up to the first whose channels the others have numbered anew. Raises PruningError
    if a step is not of this model, or would empty a layer.
    """
    units: set[int] = set()
    touched: Gone = {}
    taken = 0
    for step in history:
        side = 0 if step.direction == "out" else 1
        if step.layer in touched and touched[step.layer][side].any():
            break
        units |= _units(known, model, step)
        touched = of_units(known, units)
        taken += 1
        if any(len(marks) and bool(marks.all()) for pair in touched.values() for marks in pair):
            raise PruningError(f"removing {len(step.indices)} channels of {step.layer} would empty a layer")
    return touched, taken


def of_units(known: tracing.Channels, units: Collection[int]) -> Gone:
    """What goes with units of a trace, layer by layer."""
    gone = {}
    for name, owners in known.out.items():
        rows = np.isin(owners, list(units))
        columns = np.isin(known.into[name], list(units)) if name in known.into else np.zeros(0, dtype=bool)
        if rows.any() or columns.any():
            gone[name] = torch.from_numpy(rows), torch.from_numpy(columns)
    return gone


def _units(known: tracing.Channels, model: nn.Module, step: Removal) -> set[int]:
    """The units of one step. Raises PruningError if the model has no such layer or channels."""
    found = (known.out if step.direction == "out" else known.into).get(step.layer)
    if found is None or step.layer not in prunable.counts(model):
        raise PruningError(f"the history names {step.layer}, which is no prunable layer of this model")
    width = len(found)
    if len(set(step.indices)) != len(step.indices) or not all(0 <= i < width for i in step.indices):
        raise PruningError(
            f"the history removes channels {min(step.indices)} to {max(step.indices)} ({step.direction}) of "
            f"{step.layer}, which has {width}: it belongs to another architecture"
        )
    units = found[list(step.indices)]
    if (units < 0).any():
        raise PruningError(
            f"the history removes channels of {step.layer}, which cannot lose them: what they hang together "
            "with cannot be traced, or has a fixed width"
        )
    return set(units.tolist())
