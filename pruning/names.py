"""Names of channels: how they follow a model's operations, one after another.

Every tensor of one forward pass carries its channels' *names* along the one dimension in which they lie.
Layers read names and give new ones. What moves elements about (views, concatenations, shuffles) is done to
the names too; what combines tensors element by element makes names one. Where a channel could not be taken
out without changing the others (a norm over channels, a product of activations, a parameter used outside
its layer, whatever is not known here), its name becomes one with the frozen name: what is not known stays.

The idea of coupled channels is that of Fang et al. 2023, *DepGraph*, arXiv:2301.12900.
"""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from pruning import heads
from pruning.prunable import LAYERS

FROZEN = 0
"""The name of what cannot go."""

_SAME = frozenset(
    {
        "_prelu_kernel",
        "native_dropout",
        "_to_copy",
        "alias",
        "clone",
        "copy",
        "detach",
        "hardswish",
        "lift_fresh",
        "rsub",
    }
)
_MOVES = frozenset(
    {
        "_reshape_alias", "_unsafe_view", "cat", "channel_shuffle", "constant_pad_nd", "expand", "flip",
        "native_channel_shuffle", "permute", "pixel_shuffle", "pixel_unshuffle", "repeat", "roll", "select",
        "slice", "split", "split_with_sizes", "squeeze", "stack", "t", "transpose", "unbind", "unsqueeze",
        "view",
    }
)  # fmt: skip
_REDUCTIONS = frozenset(
    {"amax", "amin", "linalg_vector_norm", "logsumexp", "max", "mean", "min", "std", "sum", "var"}
)
_CUTS = frozenset({"select", "slice", "split", "split_with_sizes", "unbind"})
_ALONG = frozenset({"_log_softmax", "_softmax", "cumsum"})
_POOLS = ("pool1d", "pool2d", "pool3d")
_RESIZES = ("upsample_", "reflection_pad", "replication_pad")


@dataclass(frozen=True, slots=True)
class Track:
    """Where channels lie in a tensor, and what they are called: ``names[i]`` at place i of ``dim``."""

    dim: int
    names: Tensor


Units = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Channels:
    """What a trace knows: for each layer that was called its channels' units, −1 for those that cannot go.

    The same unit, anywhere: these channels go together or not at all.
    """

    out: Mapping[str, Units]
    """Convolutions and linear layers (rows of the weight), batch norms and PReLUs."""
    into: Mapping[str, Units]
    """Convolutions and linear layers: columns of the weight. Depthwise convolutions have none."""
    units: int
    """Their numbers are below this."""


class Trace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows names through every operation of a forward pass."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._tracks: MutableMapping[Tensor, Track] = WeakTensorKeyDictionary()
        self._inside = 0
        self._names = 1
        self._equal: list[tuple[Tensor, Tensor]] = []
        self._out: dict[str, Tensor] = {}
        self._into: dict[str, Tensor] = {}

    def result(self) -> Channels:
        """Units: the classes of names that were made one."""
        pairs = torch.cat([torch.stack(pair) for pair in self._equal], 1).numpy() if self._equal else None
        if pairs is None:
            labels = np.arange(self._names)
        else:
            ones = np.ones(pairs.shape[1], dtype=bool)
            graph = coo_array((ones, (pairs[0], pairs[1])), shape=(self._names, self._names))
            labels = connected_components(graph, directed=False)[1].astype(np.int64)
        units = np.where(labels == labels[FROZEN], -1, labels)
        return Channels(
            {name: units[names.numpy()] for name, names in self._out.items()},
            {name: units[names.numpy()] for name, names in self._into.items()},
            len(units),
        )

    def freeze(self, value: Any) -> None:
        """No channel of these tensors can go."""
        for tensor in tree_leaves(value):
            if isinstance(tensor, Tensor) and (track := self._tracks.get(tensor)) is not None:
                self._unite(track.names, torch.full_like(track.names, FROZEN))

    def enter(self, name: str, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        """A layer is called: what arrives are the columns of its weight."""
        self._inside += 1
        known = name in self._out or f"{name}.in_proj".lstrip(".") in self._out
        if self._inside > 1 or known:  # within another layer, or once more
            pass
        elif heads.of(layer):
            self._heads(name, layer)
        elif isinstance(layer, LAYERS):
            weight = layer.get_parameter("weight")
            self._out[name] = self._new(weight.shape[0])
            if not depthwise(layer):
                self._into[name] = self._new(weight.shape[1])
        else:
            self._out[name] = self._new(width(layer))
        if self._inside == 1 and heads.of(layer):
            self.freeze(inputs)
        elif self._inside == 1:
            x = inputs[0] if inputs else None
            track = self._tracks.get(x) if isinstance(x, Tensor) else None
            names = self._into.get(name, self._out[name])
            if (
                track is not None
                and isinstance(x, Tensor)
                and track.dim == _dimension(layer, x)
                and _plain(layer)
            ):
                self._unite(names, track.names)
            else:
                self.freeze(inputs)
                self._unite(names, torch.full_like(names, FROZEN))

    def _heads(self, name: str, layer: nn.Module) -> None:
        """Heads are on their own; what attention reads, and where it writes, stays."""
        rows, columns = heads.rows(layer)
        names = self._new(heads.of(layer))
        into, out = (f"{name}.{part}".lstrip(".") for part in ("in_proj", "out_proj"))
        width = layer.get_submodule("out_proj").get_parameter("weight").shape[0]
        self._out[into], self._into[out] = names[rows], names[columns]
        self._into[into] = torch.full((layer.get_parameter("in_proj_weight").shape[1],), FROZEN)
        self._out[out] = torch.full((width,), FROZEN)

    def leave(self, name: str, layer: nn.Module, output: Any) -> None:
        """A layer has answered: its channels are the rows of its weight."""
        self._inside -= 1
        if self._inside or heads.of(layer):
            return
        names = self._out[name]
        if isinstance(output, Tensor) and _plain(layer):
            self._tracks[output] = Track(_dimension(layer, output), names)
        else:
            self._unite(names, torch.full_like(names, FROZEN))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation, and do to names what it does to tensors."""
        given = dict(kwargs or {})
        tensors = [t for t in tree_leaves((args, given)) if isinstance(t, Tensor)]
        tracked = not self._inside and any(t in self._tracks for t in tensors)
        before = {id(t): self._tracks[t] for t in tensors if t in self._tracks} if tracked else {}
        out = func(*args, **given)
        if tracked:
            name = func._overloadpacket.__name__
            rule = self._rule(name.rstrip("_"), func)
            if rule is None or not rule(name.rstrip("_"), func, args, given, before, out):
                self.freeze(tensors)
                for tensor in tree_leaves(out):
                    if isinstance(tensor, Tensor):
                        self._tracks.pop(tensor, None)
        return out

    def _rule(self, name: str, func: Any) -> Callable[..., bool] | None:
        if name in _SAME or torch.Tag.pointwise in func.tags:
            return self._elementwise
        if name in _MOVES:
            return self._move
        if name in _REDUCTIONS or name in _ALONG:
            return self._reduce
        if name == "native_layer_norm":
            return self._layer_norm
        if any(pool in name for pool in _POOLS) or name.startswith(_RESIZES):
            return self._spatial
        return None

    def _elementwise(
        self, _name: str, _func: Any, args: Any, given: Any, before: Mapping[int, Track], out: Any
    ) -> bool:
        """Channels that meet become one; a constant or a frozen tensor must not differ between channels."""
        out = out[0] if isinstance(out, tuple) else out
        operands = [t for t in tree_leaves((args, given)) if isinstance(t, Tensor) and t.dim()]
        places = {before[id(t)].dim - t.dim() for t in operands if id(t) in before}
        if len(places) != 1:
            return False
        (place,) = places
        names = [before[id(t)].names for t in operands if id(t) in before]
        others = [t for t in operands if id(t) not in before and t.dim() >= -place and t.shape[place] > 1]
        if others or any(len(each) != out.shape[place] for each in names):
            return False
        for each in names[1:]:
            self._unite(names[0], each)
        self._tracks[out] = Track(out.dim() + place, names[0])
        return True

    def _move(
        self, name: str, func: Any, args: Any, given: Any, before: Mapping[int, Track], out: Any
    ) -> bool:
        """The same is done to a tensor of names."""

        def named(value: Any) -> Any:
            if isinstance(value, (list, tuple)) and any(isinstance(part, Tensor) for part in value):
                return [named(part) for part in value]
            if not isinstance(value, Tensor):
                return value
            track = before.get(id(value))
            if track is None:
                return torch.full(value.shape, FROZEN)
            shape = [1] * value.dim()
            shape[track.dim] = -1
            return track.names.view(shape).expand(value.shape).contiguous()

        changed = [named(value) for value in (args[:2] if name == "constant_pad_nd" else args)]
        moved = func(*changed, **given)
        first = next(t for t in tree_leaves(args) if isinstance(t, Tensor) and id(t) in before)
        if name in _CUTS and not self._cut(before[id(first)], tree_leaves(out)):
            return False
        for tensor, names in zip(tree_leaves(out), tree_leaves(moved), strict=True):
            same = before[id(first)].dim if names.dim() == first.dim() else None
            track = self._along_one(names, same)
            if track is None:
                return False
            self._tracks[tensor] = track
        return True

    def _cut(self, track: Track, parts: Sequence[Tensor]) -> bool:
        """Cut along the channels, parts must stay alike: as many go from each; a slice has a fixed place."""
        sizes = [part.shape[track.dim] if track.dim < part.dim() else 1 for part in parts]
        if sizes == [len(track.names)] * len(parts) and parts[0].dim() > track.dim:  # along another dimension
            return True
        if sum(sizes) != len(track.names) or len(set(sizes)) != 1:
            return False
        every = track.names.view(len(sizes), -1)
        self._unite(every[:1].expand_as(every).flatten(), every.flatten())
        return True

    def _along_one(self, names: Tensor, dim: int | None) -> Track | None:
        """Names as a track. Where they differ along several dimensions, those that share a place in one of
        them (``dim``, else the longest) become one: only whole slices of a tensor can go."""
        varying = [d for d in range(names.dim()) if bool((names != names.narrow(d, 0, 1)).any())]
        if not varying:
            alone = [d for d in range(names.dim()) if names.shape[d] == 1 and (d or names.dim() == 1)]
            kept = dim if dim in alone else alone[0] if alone else None
            if kept is None:
                return None
        else:
            kept = dim if dim in varying else max(varying, key=lambda d: names.shape[d])
        slices = names.movedim(kept, 0).flatten(1) if names.dim() > 1 else names[:, None]
        if len(varying) > 1:
            self._unite(slices[:, :1].expand_as(slices).flatten(), slices.flatten())
        return Track(kept, slices[:, 0].clone())

    def _reduce(
        self, name: str, func: Any, args: Any, given: Any, before: Mapping[int, Track], out: Any
    ) -> bool:
        """Along other dimensions than the channels' only."""
        bound = {
            argument.name: value for argument, value in zip(func._schema.arguments, args, strict=False)
        } | given
        x, dims = args[0], bound.get("dim")
        if id(x) not in before or dims is None:
            return False
        track = before[id(x)]
        gone = {d % x.dim() for d in ([dims] if isinstance(dims, int) else dims)} or set(range(x.dim()))
        if track.dim in gone:
            return False
        keeps = name in _ALONG or bound.get("keepdim", False)
        dim = track.dim if keeps else track.dim - sum(d < track.dim for d in gone)
        for tensor in tree_leaves(out):
            self._tracks[tensor] = Track(dim, track.names)
        return True

    def _layer_norm(
        self, _name: str, _func: Any, args: Any, _given: Any, before: Mapping[int, Track], out: Any
    ) -> bool:
        """Over other dimensions than the channels' only."""
        track = before.get(id(args[0]))
        if track is None or track.dim >= args[0].dim() - len(args[1]):
            return False
        self._tracks[out[0]] = track
        return True

    def _spatial(
        self, name: str, _func: Any, args: Any, _given: Any, before: Mapping[int, Track], out: Any
    ) -> bool:
        """Pooling, resizing and padding: of the last dimensions, where the channels must not lie."""
        count = next((n for n in (1, 2, 3) if f"{n}d" in name), 3)
        track = before.get(id(args[0]))
        if track is None or track.dim >= args[0].dim() - count:
            return False
        for tensor in tree_leaves(out):
            self._tracks[tensor] = track
        return True

    def _new(self, count: int) -> Tensor:
        self._names += count
        return torch.arange(self._names - count, self._names)

    def _unite(self, some: Tensor, others: Tensor) -> None:
        if len(some) != len(others):  # a layer that reads more than its weight has columns
            some = torch.cat([some, others])
            others = torch.full_like(some, FROZEN)
        differ = some != others
        if differ.any():
            self._equal.append((some[differ], others[differ]))


def width(layer: nn.Module) -> int:
    """How many channels a batch norm or a PReLU has values of its own for; 0: none."""
    if isinstance(layer, nn.modules.batchnorm._BatchNorm):
        return layer.num_features
    assert isinstance(layer, nn.PReLU)
    return layer.num_parameters if layer.num_parameters > 1 else 0


def _plain(layer: nn.Module) -> bool:
    """Not a convolution in several groups, of whose channels as many would have to go from each group."""
    return not isinstance(layer, nn.modules.conv._ConvNd) or layer.groups == 1 or depthwise(layer)


def _dimension(layer: nn.Module, x: Tensor) -> int:
    """Where the channels of a layer's input and output lie."""
    if isinstance(layer, nn.Linear):
        return x.dim() - 1
    if isinstance(layer, nn.modules.conv._ConvNd):
        return x.dim() - 1 - len(layer.kernel_size)
    return 1


def depthwise(layer: nn.Module) -> bool:
    """Whether each channel of a convolution is read by one channel only."""
    return (
        isinstance(layer, nn.modules.conv._ConvNd)
        and bool(layer.groups == layer.in_channels == layer.out_channels)
        and layer.groups > 1
    )
