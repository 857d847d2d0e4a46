"""A network as SynFlow sees it: linear and without a sign, every operation of it held to that.

Activations pass what they receive. A gate (sigmoid, as in squeeze-and-excitation) and attention's softmax
hand on *shares*: their value is 1, or sums to 1, and what flows through a gate is divided among all that
opened it. So flow stays finite where gates multiply, no path is shut, and each layer on every path carries
the same flow. Norms divide by the mean of what they receive, which is taken as given.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_PASSING = frozenset(
    {
        "celu", "clamp", "clamp_max", "clamp_min", "clip", "elu", "gelu", "hardshrink", "hardswish",
        "hardtanh", "leaky_relu", "log_softmax", "logsigmoid", "mish", "prelu", "relu", "relu6", "rrelu",
        "selu", "silu", "softplus", "softshrink", "softsign", "tanh", "tanhshrink", "threshold",
    }
)  # fmt: skip
_GATES = frozenset({"sigmoid", "hardsigmoid"})
_PRODUCTS = frozenset({"mul", "multiply", "__mul__", "__rmul__", "__imul__"})
_VIEWS = frozenset(
    {"view", "reshape", "expand", "expand_as", "unsqueeze", "squeeze", "permute", "transpose", "view_as"}
)
_NORMS = frozenset(
    {"layer_norm", "group_norm", "instance_norm", "local_response_norm", "rms_norm", "normalize"}
)


class Linear(TorchFunctionMode):
    """Inside the block torch's functions are linear ones, by name: in place or not, of modules or bare."""

    def __init__(self) -> None:
        super().__init__()
        self._gates: dict[int, tuple[Tensor, Tensor]] = {}
        """By identity: a gate's output, which is kept so that its identity stays its own, and its input."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """What stands for one call."""
        given = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        plain = name if name.startswith("__") else name.rstrip("_")
        first: Any = args[0] if args else given.get("input")
        if plain in _PASSING:
            return first
        if plain in _GATES:
            assert isinstance(first, Tensor)
            return self._remember(first.view_as(first), first)
        if plain == "softmax":
            return _shares(first, args[1] if len(args) > 1 else given.get("dim", -1))
        if plain in _NORMS:
            return _norm(plain, first, args, given)
        if name == "scaled_dot_product_attention":
            return _attention(*args, **given)
        if name == "multi_head_attention_forward":
            return _multi_head_attention(*args, **given)
        if plain in _PRODUCTS and len(args) == 2:
            args = self._opened(*args)
            if len(args) == 1:
                return args[0]
        out = func(*args, **given)
        if plain in _VIEWS and id(first) in self._gates and isinstance(out, Tensor):
            self._remember(out, self._gates[id(first)][1])
        return out

    def _remember(self, gate: Tensor, source: Tensor) -> Tensor:
        self._gates[id(gate)] = (gate, source)
        return gate

    def _opened(self, left: Any, right: Any) -> tuple[Any, ...]:
        """Factors of a product, where one is a gate; x times the gate of x (swish) is an activation: x."""
        if id(left) in self._gates:
            return (right,) if self._gates[id(left)][1] is right else (_share(left), right)
        if id(right) in self._gates:
            return (left,) if self._gates[id(right)][1] is left else (left, _share(right))
        return left, right


def _share(gate: Tensor) -> Tensor:
    """1, with the slope of what opened the gate over all that did."""
    held = gate.detach()
    return gate / torch.where(held > 0, held, 1.0) + (held <= 0)


def _shares(weights: Tensor, dim: int) -> Tensor:
    """Weights over their sum, which is held; all alike where there is none. Masked ones are negative."""
    weights = weights.clamp(min=0)
    total = weights.detach().sum(dim, keepdim=True)
    return torch.where(total > 0, weights / torch.where(total > 0, total, 1.0), 1 / weights.shape[dim])


def _norm(name: str, x: Tensor, args: Sequence[Any], given: Mapping[str, Any]) -> Tensor:
    """x over its mean, which is held, times the norm's weight."""
    mean = x.detach().mean()
    out = x / torch.where(mean > 0, mean, 1.0)
    weight = given.get("weight")
    if weight is None and name in ("layer_norm", "group_norm", "rms_norm") and len(args) > 2:
        weight = args[2]
    if not isinstance(weight, Tensor):
        return out
    if name in ("group_norm", "instance_norm"):
        weight = weight.view(-1, *[1] * (x.dim() - 2))
    return out * weight


def _attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Any = None, *_: Any, **__: Any
) -> Tensor:
    weights = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    if isinstance(attn_mask, Tensor):
        weights = weights * attn_mask if attn_mask.dtype == torch.bool else weights + attn_mask
    return _shares(weights, -1) @ value


def _multi_head_attention(
    query: Tensor, key: Tensor, value: Tensor, _width: int, heads: int, packed: Tensor | None, *args: Any,
    **given: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """(tokens, batch, width) as in torch's function of that name, without biases, weights or dropout."""
    if given.get("use_separate_proj_weight"):
        projections = [given[f"{name}_proj_weight"] for name in "qkv"]
    else:
        assert packed is not None
        projections = list(packed.chunk(3))
    q, k, v = (
        F.linear(x, weight)
        .view(*x.shape[:-1], heads, -1)
        .movedim(0, -2)  # (batch, heads, tokens, width of head)
        for x, weight in zip((query, key, value), projections, strict=True)
    )
    out_weight = args[5] if len(args) > 5 else given["out_proj_weight"]
    return F.linear(_attention(q, k, v).movedim(-2, 0).flatten(-2), out_weight), None
