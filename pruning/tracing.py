"""Tracing a model into torch-pruning's dependency graph: which layers' channels hang together.

Fang et al. 2023, *DepGraph: Towards Any Structural Pruning*, arXiv:2301.12900.
"""

from functools import partial

import torch
import torch_pruning
from torch import Tensor, nn
from torch_pruning.dependency import Group
from torch_pruning.dependency.index_mapping import _FlattenIndexMapping
from torch_pruning.ops import OPTYPE

from pruning.errors import PruningError
from pruning.modes import evaluating
from pruning.prunable import LAYERS

# Operations whose channels torch-pruning removes exactly. The others (grouped convolutions, GroupNorm,
# LayerNorm, attention, LSTM, parameters used outside a layer) keep all channels: their removal either is not
# exact or rests on a guess.
_FOLLOWED = frozenset(
    {
        OPTYPE.CONV, OPTYPE.DEPTHWISE_CONV, OPTYPE.LINEAR, OPTYPE.BN, OPTYPE.PRELU, OPTYPE.ELEMENTWISE,
        OPTYPE.RESHAPE, OPTYPE.CONCAT, OPTYPE.SPLIT, OPTYPE.SLICE,
    }
)  # fmt: skip


def dependency_graph(model: nn.Module, example_input: Tensor) -> torch_pruning.DependencyGraph:
    """The dependency graph of a model, whose modules it holds. The model is left as it was.

    ``example_input``: (N, …). Raises PruningError if the model cannot run it.
    """
    logits(model, example_input)
    frozen = [p for p in model.parameters() if not p.requires_grad and p.is_floating_point()]
    for parameter in frozen:
        parameter.requires_grad_(True)  # tracing follows autograd
    try:
        with evaluating(model), torch.enable_grad():
            return torch_pruning.DependencyGraph().build_dependency(
                model,
                example_input,
                forward_fn=_forward,
                # so that the graph ends in a node of its own: the last layer's channels reach it
                output_transform=_beyond_output,
                verbose=False,
            )
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)


def removable(group: Group) -> bool:
    """Whether the channels of a group may go one by one: no logits, and exact operations only."""
    return not _folds(group) and all(
        dep.target.type in _FOLLOWED and _exact(dep.target.module) for dep, _ in group.items
    )


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
            return _forward(model, example_input)
    except Exception as error:  # whatever the user's own forward raises
        layer = next((name for name in reversed(entered) if name), type(model).__name__)
        raise PruningError(
            f"the model cannot run an input of shape {tuple(example_input.shape)}: "
            f"it breaks in or right after layer {layer}: {error}"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()


def _note(entered: list[str], name: str, _module: nn.Module, _inputs: tuple[object, ...]) -> None:
    entered.append(name)


def _exact(module: nn.Module) -> bool:
    if isinstance(module, nn.modules.conv._ConvNd):
        depthwise = bool(module.groups == module.in_channels == module.out_channels)
        return isinstance(module, LAYERS) and (bool(module.groups == 1) or depthwise)
    return True


def _folds(group: Group) -> bool:
    """Whether several channels become one index, as neurons reshaped into maps: torch-pruning miscounts."""
    for dep, _ in group.items:
        for mapping in dep.index_mapping:
            if isinstance(mapping, _FlattenIndexMapping) and mapping.reverse:
                for item in group.items:
                    if item.dep.target is dep.source:
                        pairs = zip(item.idxs, item.root_idxs, strict=True)
                        met = {(index // mapping._stride, channel) for index, channel in pairs}
                        if len(met) > len({index for index, _ in met}):
                            return True
    return False


def _forward(model: nn.Module, example_input: Tensor) -> Tensor:
    logits: Tensor = model(example_input)
    return logits


def _beyond_output(logits: Tensor) -> Tensor:
    return logits * 1
