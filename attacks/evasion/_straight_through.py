"""Gradients past operations that have none: rounding, casts to integers, detached tensors, 8-bit layers,
trips through NumPy.

Backward pass differentiable approximation (BPDA, Athalye et al. 2018): forward, each operation does what it
does; backward, it is taken for the identity (the straight-through estimator, Bengio et al. 2013), or for what
it rounds. The model need not be changed: PyTorch tells of every operation while the mode is on.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

ROUNDING = frozenset(
    getattr(place, name)
    for place in (torch, Tensor)
    for name in ("round", "floor", "ceil", "trunc", "fix", "sign")
)
FLOOR_DIVISION = frozenset((torch.floor_divide, Tensor.floor_divide, Tensor.__floordiv__))
CASTS = frozenset(
    (Tensor.to, Tensor.type, Tensor.int, Tensor.long, Tensor.short, Tensor.char, Tensor.byte, Tensor.bool)
)
CUTS = frozenset((torch.detach, Tensor.detach, Tensor.data.__get__))  # type: ignore[attr-defined]
EXITS: frozenset[Any] = frozenset((Tensor.numpy, Tensor.__array__))
GRAD_SWITCH = torch._C._set_grad_enabled
EIGHT_BIT = 255
CLOSE = 0.5
"""A tensor of the input's shape is the input in disguise if it lies within this share of its spread."""


class _Identity(torch.autograd.Function):
    """Forward the second input, backward as if it had been the first."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        del ctx
        return y.to(x.dtype, copy=True)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        del ctx
        return gradient, None


def lent(gradient_of: Tensor, values: Tensor) -> Tensor:
    """``values``, with the gradient of the other tensor of the same shape."""
    found: Tensor = _Identity.apply(gradient_of, values.detach())  # type: ignore[no-untyped-call]
    return found


class StraightThrough(TorchFunctionMode):
    """While on, gradients pass through what has none.

    ``x``: the model's input, to which a tensor that has left PyTorch on its way is tied again. ``classes``:
    if given, every tensor of the shape of the logits is kept in ``rows``, in the order in which they arise.
    """

    def __init__(self, x: Tensor | None = None, classes: int | None = None) -> None:
        super().__init__()
        self._x, self._shape = x, None if x is None or classes is None else (len(x), classes)
        self.rows: list[Tensor] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Called by PyTorch in place of each operation."""
        del types
        if func is GRAD_SWITCH and not args[0]:
            return None
        first = args[0] if args else None
        if isinstance(first, Tensor):
            if func in CUTS:
                return first
            tied = self._tied(first)
            if tied is not first:
                first, args = tied, (tied, *args[1:])
        if func in EXITS and first is not None:
            args = (first.detach(), *args[1:])  # not cut above: PyTorch refuses to let it go
        result = self._passed(func, first, args, dict(kwargs or {}))
        if isinstance(result, Tensor) and self._shape == tuple(result.shape) and result.is_floating_point():
            self.rows.append(result)
        return result

    def _tied(self, tensor: Tensor) -> Tensor:
        """The tensor with the input's gradient, where it is the input in disguise."""
        x = self._x
        if (
            x is None
            or tensor.requires_grad
            or not x.requires_grad
            or tensor.shape != x.shape
            or not tensor.is_floating_point()
        ):
            return tensor
        plain = x.detach()
        off, spread = (tensor - plain).norm(), (plain - plain.mean()).norm()
        return lent(x, tensor) if off <= CLOSE * spread else tensor

    @staticmethod
    def _passed(func: Callable[..., Any], first: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        name = getattr(func, "__name__", "")
        if isinstance(first, Tensor) and not first.is_quantized and first.is_floating_point():
            if name == "dequantize":
                return first
            if name == "quantize_per_tensor":
                return _eight_bits(first, *args[1:], **kwargs)
            if name in EIGHT_BIT_LAYERS and isinstance(func, torch._ops.OpOverloadPacket):
                return EIGHT_BIT_LAYERS[name](*args, **kwargs)
        result = func(*args, **kwargs)
        if not isinstance(first, Tensor) or not isinstance(result, Tensor) or not first.requires_grad:
            return result
        if func in FLOOR_DIVISION:
            return lent(first / args[1], result)
        if func in ROUNDING or kwargs.get("rounding_mode"):
            return lent(first / args[1] if kwargs.get("rounding_mode") else first, result)
        cast = func in CASTS and first.is_floating_point() and not result.is_floating_point()
        return lent(first, result) if cast else result


def _eight_bits(x: Tensor, scale: Any, zero_point: Any, dtype: torch.dtype = torch.quint8) -> Tensor:
    """What eight bits hold of x, as floats."""
    low = 0 if dtype == torch.quint8 else -128
    held = ((x / float(scale)).round() + int(zero_point)).clamp(low, low + EIGHT_BIT)
    return lent(x, (held - int(zero_point)) * float(scale))


def _weights(packed: Any, like: Tensor) -> tuple[Tensor, Tensor | None]:
    weight, bias = packed.unpack()
    return weight.dequantize().to(like), None if bias is None else bias.to(like)


def _linear(x: Tensor, packed: Any, scale: Any, zero_point: Any) -> Tensor:
    return _eight_bits(F.linear(x, *_weights(packed, x)), scale, zero_point)


def _linear_dynamic(x: Tensor, packed: Any, reduce_range: bool = False) -> Tensor:
    """Without the rounding of its inputs, whose scale depends on the batch."""
    del reduce_range
    return F.linear(x, *_weights(packed, x))


def _convolution(x: Tensor, packed: Any) -> Tensor:
    weight, bias = _weights(packed, x)
    return F.conv2d(
        x, weight, bias, packed.stride(), packed.padding(), packed.dilation(), groups=packed.groups()
    )


def _conv2d(x: Tensor, packed: Any, scale: Any, zero_point: Any) -> Tensor:
    return _eight_bits(_convolution(x, packed), scale, zero_point)


EIGHT_BIT_LAYERS: Mapping[str, Callable[..., Tensor]] = {
    "linear": _linear,
    "linear_relu": lambda x, packed, scale, zero: _eight_bits(
        F.linear(x, *_weights(packed, x)).relu(), scale, zero
    ),
    "linear_dynamic": _linear_dynamic,
    "linear_relu_dynamic": lambda x, packed, reduce=False: _linear_dynamic(x, packed).relu(),
    "conv2d": _conv2d,
    "conv2d_relu": lambda x, packed, scale, zero: _eight_bits(_convolution(x, packed).relu(), scale, zero),
}
"""PyTorch's 8-bit layers on floats: the same weights, rounding passed straight through."""
