"""Which parameters count: the ``weight`` of every convolution and linear layer, tied ones once."""

import fnmatch
from collections.abc import Sequence

from torch import nn

from pruning.errors import PruningError

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def layers(model: nn.Module) -> dict[str, nn.Module]:
    """Name → layer, in the model's order, for each layer whose ``weight`` is prunable.

    Biases and norm layers are never pruned and never counted. A weight that several layers share is listed
    under the first.
    """
    found: dict[str, nn.Module] = {}
    seen: set[int] = set()
    for name, module in model.named_modules():
        weight = module._parameters.get("weight") if isinstance(module, LAYERS) else None
        if weight is not None and id(weight) not in seen:
            seen.add(id(weight))
            found[name] = module
    return found


def weight_name(layer: str) -> str:
    """The parameter name of a layer's weight; the model itself is the layer named ''."""
    return f"{layer}.weight" if layer else "weight"


def weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameter name → prunable weight, in the model's order. Raises PruningError if there is none."""
    found = {weight_name(name): layer.get_parameter("weight") for name, layer in layers(model).items()}
    if not found:
        raise PruningError(
            f"{type(model).__name__} has nothing to prune: no Conv1d, Conv2d, Conv3d or Linear layer "
            "with a weight parameter of its own"
        )
    return found


def excluded(model: nn.Module, patterns: Sequence[str]) -> frozenset[str]:
    """The prunable layers that the patterns (shell style, ``features.*``) name.

    Raises PruningError, which names the layers there are, if a pattern fits none.
    """
    names = tuple(layers(model))
    found: set[str] = set()
    for pattern in patterns:
        fitting = fnmatch.filter(names, pattern)
        if not fitting:
            raise PruningError(
                f"exclude: no prunable layer is named {pattern!r}; there are: {', '.join(names)}"
            )
        found.update(fitting)
    return frozenset(found)


def refuse_tied(model: nn.Module) -> None:
    """Raises PruningError if different modules share a parameter: removing units would part them."""
    owners: dict[int, list[str]] = {}
    for module_name, module in model.named_modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                owners.setdefault(id(parameter), []).append(f"{module_name}.{name}".lstrip("."))
    for names in owners.values():
        if len(names) > 1:
            raise PruningError(
                f"{' and '.join(names)} are one tied parameter: units of tied layers cannot be removed; "
                "use granularity 'weight', or untie them"
            )
