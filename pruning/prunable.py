"""Which parameters count: weights of convolutions, linear layers and attention that run, tied ones once."""

import fnmatch
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress

import torch
from torch import Tensor, nn

from pruning.errors import PruningError
from pruning.modes import evaluating, examples

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
_ATTENTION = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
_SEEN, _IDLE = "_pruning_seen", "_pruning_idle"
"""Set on a model and its copies: that it was watched; on a layer: that it never runs."""


def layers(model: nn.Module) -> dict[str, nn.Module]:
    """Name → layer, in the model's order, for each layer whose ``weight`` is prunable.

    Biases and norm layers are never pruned and never counted, nor are layers that :func:`watch` has not seen
    run. A weight that several layers share is listed under the first.
    """
    return {name: module for name, module, key, _ in _found(model) if key == "weight"}


def weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameter name → prunable weight, in the model's order. Raises PruningError if there is none.

    Beside the weights of :func:`layers` those by which attention makes queries, keys and values (torch's
    ``in_proj_weight``, whose units are heads), and those of Hugging Face's ``Conv1D``, whose units are not
    followed.
    """
    found = every(model)
    if not found:
        raise PruningError(
            f"{type(model).__name__} has nothing to prune: no Conv1d, Conv2d, Conv3d or Linear layer "
            "with a weight parameter of its own"
        )
    return found


def every(model: nn.Module) -> dict[str, nn.Parameter]:
    """The same, empty where there is none."""
    return {f"{name}.{key}".lstrip("."): weight for name, _, key, weight in _found(model, attention=True)}


def layer_of(weight: str) -> str:
    """The layer's name for a weight's: what ``exclude`` and reports call it."""
    return "" if weight == "weight" else weight.removesuffix(".weight").removesuffix("_weight")


def weight_name(layer: str, among: Container[str]) -> str:
    """The parameter name of a layer's weight, which is ``among`` these; the model itself is the layer ''."""
    plain = f"{layer}.weight" if layer else "weight"
    return plain if plain in among or f"{layer}_weight" not in among else f"{layer}_weight"


def owner(model: nn.Module, layer: str) -> nn.Module:
    """The module that holds a layer's weight: itself, or the attention whose ``in_proj`` it is."""
    try:
        return model.get_submodule(layer)
    except AttributeError:
        return model.get_submodule(layer.rpartition(".")[0])


def counts(model: nn.Module) -> dict[str, int]:
    """Layer → its prunable weights."""
    return {layer_of(name): weight.numel() for name, weight in every(model).items()}


def watch(model: nn.Module, example_input: Tensor) -> None:
    """Find out which layers run, once for a model and its copies: those that never do no longer count.

    A layer never runs where it is not called in eval mode and its weight does not reach the output either, as
    auxiliary heads for training. ``example_input``: (N, …), of which the first is run.
    """
    if not hasattr(model, _SEEN):
        for example in examples(example_input):
            with suppress(Exception):  # whatever the user's own forward raises; where it must run, it is said
                for name in _idle(model, example):
                    setattr(model.get_submodule(name), _IDLE, True)
                setattr(model, _SEEN, True)
                return


def trains_more(model: nn.Module) -> bool:
    """Whether some layers are known to run in training only."""
    return any(getattr(module, _IDLE, False) for module in model.modules())


def told(model: nn.Module) -> list[str]:
    """What of a model's parameters cannot be pruned though it is large, and why: one sentence each."""
    total = sum(parameter.numel() for parameter in model.parameters())
    counted = {id(weight) for weight in every(model).values()}
    never: dict[str, int] = {}
    other: dict[str, int] = {}
    for owner, module in model.named_modules():
        for key, parameter in module._parameters.items():
            if parameter is not None and parameter.dim() > 1 and id(parameter) not in counted:
                kind = never if getattr(module, _IDLE, False) else other
                kind[owner if kind is never else f"{owner}.{key}".lstrip(".")] = parameter.numel()
    return [
        f"{words}: {', '.join(list(names)[:5])}{f' and {len(names) - 5} more' if len(names) > 5 else ''} "
        f"({sum(names.values()) / total:.1%} of all parameters)"
        for words, names in (("never run, not counted", never), ("not prunable", other))
        if sum(names.values()) > 0.001 * total
    ]


def _idle(model: nn.Module, example: Tensor) -> tuple[str, ...]:
    """The layers that never run."""
    known = {name: module for name, module, _, _ in _found(model, attention=True)}
    called: set[nn.Module] = set()
    hooks = [m.register_forward_pre_hook(lambda module, _: called.add(module)) for m in known.values()]
    held = {p: p.requires_grad for p in model.parameters() if p.is_floating_point()}
    try:
        for parameter in held:
            parameter.requires_grad_(True)
        with evaluating(model), torch.enable_grad():
            out = model(example)
        outputs = [out] if isinstance(out, Tensor) else list(out.values() if isinstance(out, dict) else out)
        roots = [o.sum() for o in outputs if isinstance(o, Tensor) and o.requires_grad]
        quiet = {name: module for name, module in known.items() if module not in called}
        if not roots or not quiet:
            return ()
        pairs = [(n, p) for n, m in quiet.items() for p in m.parameters(recurse=False) if p in held]
        slopes = torch.autograd.grad(roots, [p for _, p in pairs], allow_unused=True)
        reached = {name for (name, _), slope in zip(pairs, slopes, strict=True) if slope is not None}
        return tuple(name for name in quiet if name not in reached)
    finally:
        for hook in hooks:
            hook.remove()
        for parameter, before in held.items():
            parameter.requires_grad_(before)


def _found(
    model: nn.Module, *, attention: bool = False
) -> Iterator[tuple[str, nn.Module, str, nn.Parameter]]:
    """(layer's name, layer, key, weight); with the weights that are not those of ``LAYERS`` too."""
    seen: set[int] = set()
    for name, module in model.named_modules():
        if getattr(module, _IDLE, False):
            continue
        keys: tuple[str, ...] = ("weight",) if isinstance(module, LAYERS) else ()
        if attention and isinstance(module, nn.MultiheadAttention):
            keys = _ATTENTION
        elif attention and type(module).__name__ == "Conv1D" and hasattr(module, "nf"):
            keys = ("weight",)
        for key in keys:
            weight = module._parameters.get(key)
            if isinstance(weight, nn.Parameter) and id(weight) not in seen:
                seen.add(id(weight))
                yield name, module, key, weight


def excluded(model: nn.Module, patterns: Sequence[str]) -> frozenset[str]:
    """The prunable layers that the patterns (shell style, ``features.*``) name.

    Raises PruningError, which names the layers there are, if a pattern fits none.
    """
    names = tuple(map(layer_of, weights(model)))
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
