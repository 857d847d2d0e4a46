"""Physical removal of units: a smaller, dense network, and the record from which it can be built again."""

import copy
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
import torch_pruning
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch_pruning.dependency import Group

from pruning import prunable, tracing
from pruning.errors import PruningError


class Removal(BaseModel):
    """One step of a history: these channels of this layer went, and all that hangs on them."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    layer: str
    direction: Literal["out", "in"]
    indices: tuple[int, ...]
    """Channels, as numbered when the step was taken."""


History = Sequence[Removal]


def replay(model: nn.Module, history: History, example_input: Tensor) -> nn.Module:
    """A smaller copy of a dense model: the steps of the history, taken again. The model is left as it was.

    ``example_input``: (N, …), used to trace and to check that the smaller model runs and its logits keep
    their shape. Modes and ``requires_grad`` are those of the model, gradients are dropped. Raises
    PruningError if a step does not fit the model, or if the model does not survive it.
    """
    smaller = copy.deepcopy(model)
    smaller.zero_grad(set_to_none=True)
    if not history:
        return smaller
    requires_grad = {name: parameter.requires_grad for name, parameter in smaller.named_parameters()}
    width = tracing.logits(smaller, example_input).shape
    graph = tracing.dependency_graph(smaller, example_input)
    for step in history:
        group = _group(graph, smaller, step)
        if not graph.check_pruning_group(group):
            raise PruningError(f"removing {len(step.indices)} channels of {step.layer} would empty a layer")
        group.prune()
    for name, parameter in smaller.named_parameters():  # torch-pruning made new parameters
        parameter.requires_grad_(requires_grad[name])
    try:
        now = tracing.logits(smaller, example_input).shape
    except PruningError as error:
        raise PruningError(f"{_culprits(history)} cannot lose channels: {error}") from error
    if now != width:
        raise PruningError(
            f"{_culprits(history)} cannot lose channels: "
            f"the output was {tuple(width)} and became {tuple(now)}"
        )
    return smaller


def masked(model: nn.Module, history: History, example_input: Tensor) -> nn.Module:
    """The same removal with zeros, for comparison: a copy of unchanged shape.

    What produces a removed channel is zero (weight and bias), and so are the columns that read it: with any
    activation the outputs equal those of :func:`replay`. A layer may occur once in the history.
    Raises PruningError if a step does not fit the model.
    """
    same = copy.deepcopy(model)
    if not history:
        return same
    if len({step.layer for step in history}) < len(history):
        raise PruningError("a history that names a layer twice cannot be shown as one mask")
    graph = tracing.dependency_graph(same, example_input)
    for step in history:
        for layer, out, indices in _touched(graph, _group(graph, same, step)):
            with torch.no_grad():
                weight = layer.get_parameter("weight")
                weight[indices if out else (slice(None), indices)] = 0
                if out and isinstance(layer.bias, Tensor):
                    layer.bias[indices] = 0
    return same


def _touched(
    graph: torch_pruning.DependencyGraph, group: Group
) -> Iterator[tuple[nn.Module, bool, list[int]]]:
    """The prunable layers of a group: (layer, whether rows rather than columns go, which)."""
    for dep, indices in group.items:
        if isinstance(dep.target.module, prunable.LAYERS):
            yield dep.target.module, graph.is_out_channel_pruning_fn(dep.handler), indices


def _group(graph: torch_pruning.DependencyGraph, model: nn.Module, step: Removal) -> Group:
    """All that goes with one step. Raises PruningError if the model has no such layer or channels."""
    module = dict(model.named_modules()).get(step.layer)
    if not isinstance(module, prunable.LAYERS) or module not in graph.module2node:
        raise PruningError(f"the history names {step.layer}, which is no prunable layer of this model")
    out = step.direction == "out"
    width = graph.get_out_channels(module) if out else graph.get_in_channels(module)
    valid = len(set(step.indices)) == len(step.indices) and all(0 <= i < width for i in step.indices)
    if not valid:
        raise PruningError(
            f"the history removes channels {min(step.indices)} to {max(step.indices)} ({step.direction}) of "
            f"{step.layer}, which has {width}: it belongs to another architecture"
        )
    pruner = graph.get_pruner_of_module(module)
    return graph.get_pruning_group(
        module, pruner.prune_out_channels if out else pruner.prune_in_channels, list(step.indices)
    )


def _culprits(history: History) -> str:
    return ", ".join(dict.fromkeys(step.layer for step in history))
