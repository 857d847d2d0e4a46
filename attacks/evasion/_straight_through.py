"""Gradients past operations that have none: rounding, casts to integers, detached tensors, a final softmax.

Backward pass differentiable approximation (BPDA, Athalye et al. 2018): forward, each operation does what it
does; backward, it is taken for the identity (the straight-through estimator, Bengio et al. 2013). The model
need not be changed: PyTorch tells of every operation while the mode is on.
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
CASTS = frozenset(
    (Tensor.to, Tensor.type, Tensor.int, Tensor.long, Tensor.short, Tensor.char, Tensor.byte, Tensor.bool)
)
CUTS = frozenset((torch.detach, Tensor.detach, Tensor.data.__get__))  # type: ignore[attr-defined]
EXITS: frozenset[Any] = frozenset((Tensor.numpy, Tensor.__array__))
SOFTMAX = frozenset((F.softmax, torch.softmax, Tensor.softmax))
GRAD_SWITCH = torch._C._set_grad_enabled


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


class StraightThrough(TorchFunctionMode):
    """While on, gradients pass through what has none; ``logits_of`` undoes a softmax that came last."""

    def __init__(self) -> None:
        super().__init__()
        self._softmax: tuple[Tensor, Tensor] | None = None

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
        if func in CUTS and isinstance(first, Tensor):
            return first
        if func in EXITS and first is not None:
            args = (
                first.detach(),
                *args[1:],
            )  # a tensor that was not cut above: PyTorch refuses to let it go
        result = func(*args, **(kwargs or {}))
        if not isinstance(first, Tensor) or not isinstance(result, Tensor):
            return result
        if func in SOFTMAX:
            self._softmax = result, first
        cast = func in CASTS and first.is_floating_point() and not result.is_floating_point()
        if first.requires_grad and (func in ROUNDING or cast):
            return _Identity.apply(first, result)  # type: ignore[no-untyped-call]
        return result

    def logits_of(self, outputs: Tensor) -> Tensor:
        """What went into the softmax that made these outputs; the outputs where none did."""
        if self._softmax is not None and self._softmax[0] is outputs:
            return self._softmax[1]
        return outputs
