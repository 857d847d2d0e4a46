"""Tracing a model: which channels of which layers hang together, so that they can go only together."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pruning import heads, prunable
from pruning.errors import PruningError
from pruning.modes import evaluating, examples
from pruning.names import Channels, Trace, Units, depthwise, width
from pruning.prunable import LAYERS

__all__ = ["Channels", "Units", "channels", "depthwise", "logits", "uses"]


def channels(model: nn.Module, example_input: Tensor) -> Channels:
    """Trace a model in eval mode, and where layers run in training only, in that too: they must still fit.

    The model is left as it was. ``example_input``: (N, …), of which the first is run. Raises PruningError,
    which names the layer in which the model broke, if it cannot run it.
    """
    *cheaper, one = examples(example_input)
    for example in (*cheaper, one):
        trace = Trace()
        with suppress(PruningError) if example is not one else nullcontext(), _followed(trace, model):
            trace.freeze(logits(model, example))
            break
    if prunable.trains_more(model):
        copied = copy.deepcopy(model).train()  # batch norms take what they see
        twice = torch.cat([example] * 2)  # of one alone they know no variance
        with _followed(trace, copied), torch.no_grad(), torch.random.fork_rng(), suppress(Exception):
            trace.freeze(copied(twice))
    return trace.result()


def logits(model: nn.Module, example_input: Tensor) -> Tensor:
    """What the model answers, in eval mode and without gradient.

    Raises PruningError, which names the layer in which the model broke.
    """
    entered: list[str] = []
    hooks = [
        module.register_forward_pre_hook(partial(_note, entered, name))
        for name, module in model.named_modules()
    ]
    try:
        with evaluating(model), torch.no_grad():
            found: Tensor = model(example_input)
            return found
    except Exception as error:  # whatever the user's own forward raises
        layer = next((name for name in reversed(entered) if name), type(model).__name__)
        raise PruningError(
            f"the model cannot run an input of shape {tuple(example_input.shape)}: "
            f"it breaks in or right after layer {layer}: {error}"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()


def uses(model: nn.Module, example_input: Tensor) -> dict[str, int]:
    """Layer → how often each of its weights is used for one example, of layers that are called."""
    found: dict[str, int] = {}

    def count(name: str, layer: nn.Module, _inputs: tuple[object, ...], output: Tensor) -> None:
        found[name] = found.get(name, 0) + output.numel() // layer.get_parameter("weight").shape[0]

    def attend(name: str, _layer: nn.Module, inputs: tuple[Tensor, ...], _output: object) -> None:
        tokens = inputs[0].numel() // inputs[0].shape[-1]
        for part in ("in_proj", "out_proj"):
            found[f"{name}.{part}".lstrip(".")] = tokens

    hooks = [
        module.register_forward_hook(partial(count, name)) for name, module in prunable.layers(model).items()
    ]
    hooks += [
        module.register_forward_hook(partial(attend, name))
        for name, module in model.named_modules()
        if heads.of(module)
    ]
    try:
        logits(model, example_input[:1])
    finally:
        for hook in hooks:
            hook.remove()
    return found


@contextmanager
def _followed(trace: Trace, model: nn.Module) -> Iterator[None]:
    hooks = [hook for name, module in model.named_modules() for hook in _watch(trace, name, module)]
    try:
        with trace:
            yield
    finally:
        for hook in hooks:
            hook.remove()


def _watch(trace: Trace, name: str, module: nn.Module) -> Iterator[Any]:
    """Hooks on a layer whose channels the trace follows by itself."""
    if heads.of(module):
        yield module.register_forward_pre_hook(
            lambda m, args, given: trace.enter(name, m, (*args, *given.values())), with_kwargs=True
        )
        yield module.register_forward_hook(lambda m, _inputs, output: trace.leave(name, m, output))
        return
    own = module._parameters.get("weight") is not None
    followed = isinstance(module, LAYERS) and own
    if followed or (isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.PReLU)) and width(module) > 0):
        yield module.register_forward_pre_hook(lambda m, inputs: trace.enter(name, m, inputs))
        yield module.register_forward_hook(lambda m, _inputs, output: trace.leave(name, m, output))


def _note(entered: list[str], name: str, _module: nn.Module, _inputs: tuple[object, ...]) -> None:
    entered.append(name)
