"""What models return beside a tensor of logits (N, classes): tuples, mappings, one logit for two classes."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

SHAPES = ("View", "Reshape", "UnsafeView", "Squeeze", "Unsqueeze", "Cat")
"""Beginnings of the names of autograd's nodes that move values and change none."""


def logits_of(outputs: Any, classes: int) -> Any:
    """The logits (N, classes) among a model's outputs; whatever cannot be read as such, as it is.

    An attribute or key ``logits`` is taken (Hugging Face's outputs and torchvision's GoogLeNet have it), else
    the first of a tuple. One logit z for two classes, (N,) or (N, 1), becomes (0, z): their softmax is the
    sigmoid of z, and the second class is named where z > 0.
    """
    if isinstance(outputs, Mapping) and "logits" in outputs:
        outputs = outputs["logits"]
    elif isinstance(getattr(outputs, "logits", None), Tensor):
        outputs = outputs.logits
    elif isinstance(outputs, tuple | list) and outputs:
        outputs = outputs[0]
    if isinstance(outputs, Tensor) and classes == 2 and outputs.shape[1:] in ((), (1,)) and outputs.ndim:
        second = outputs.reshape(-1, 1)
        return torch.cat((torch.zeros_like(second), second), dim=1)
    return outputs


def returning_logits(model: nn.Module, classes: int) -> nn.Module:
    """The model itself, whose outputs are its logits wherever it is called; its state dict is as it was."""
    model.register_forward_hook(partial(_read, classes))
    return model


def _read(classes: int, module: nn.Module, inputs: tuple[Any, ...], outputs: Any) -> Any:
    del module, inputs
    return logits_of(outputs, classes)


def sigmoid_last(model: nn.Module, x: Tensor) -> bool:
    """Whether a sigmoid made the logits that a model gives for ``x`` (N, …): they are probabilities then, and
    one above 0 names the second class whatever its input. False where autograd cannot tell."""
    try:
        with torch.enable_grad():
            node = model(x.clone().requires_grad_()).grad_fn
    except Exception:  # whatever a foreign model raises: it does not run with a graph
        return False
    while node is not None and type(node).__name__.startswith(SHAPES):
        node = next((before for before, _ in node.next_functions if before is not None), None)
    return type(node).__name__.startswith("Sigmoid")
