"""What each prunable layer reads while the training sample runs through the model."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from pruning import prunable
from pruning.criteria import Context
from pruning.errors import PruningError

CONVOLUTIONS = (nn.modules.conv._ConvNd,)
"""Layers whose channels are the second dimension; of the others they are the last."""
Look = Callable[[str, nn.Module, Tensor], None]


def watch(weights: Mapping[str, Tensor], context: Context, look: Look) -> None:
    """Run the sample; ``look(weight's name, layer, input)`` sees every input of every layer.

    A weight that several layers share, or a layer that is called several times, is looked at each time.
    Raises PruningError, which names the layer, if one is never called: its weight may be used, as that of
    attention's output is, but what it reads stays unseen.
    """
    assert context.sample is not None
    names = {id(weight): name for name, weight in weights.items()}
    seen: set[str] = set()

    def hook(name: str, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.add(name)
        look(name, layer, inputs[0].detach())

    hooks = [
        layer.register_forward_pre_hook(partial(hook, names[id(layer.weight)]))
        for layer in context.model.modules()
        if isinstance(layer, prunable.LAYERS) and id(layer._parameters.get("weight")) in names
    ]
    try:
        with torch.no_grad():
            for x, _ in context.sample.batches():
                context.model(x)
    finally:
        for handle in hooks:
            handle.remove()
    refuse([prunable.layer_of(name) for name in weights if name not in seen])


def refuse(unseen: Sequence[str]) -> None:
    """Raises PruningError, which names them, if there are layers of which nothing is seen."""
    if unseen:
        raise PruningError(
            f"{', '.join(unseen)} is never called as a layer, so that what it reads cannot be seen: "
            f"choose a criterion that does not look at inputs, or exclude = {list(unseen)}"
        )
