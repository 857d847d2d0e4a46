"""Models and data that a program hands over as objects, where a plan names functions."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from audit.errors import PlanError

_held: dict[str, Callable[..., Any]] = {}


def __getattr__(name: str) -> Callable[..., Any]:
    """A held function, as a plan's ``audit.handed:NAME`` looks it up."""
    try:
        return _held[name]
    except KeyError:
        raise AttributeError(name) from None


@contextmanager
def held(**functions: Callable[..., Any]) -> Iterator[None]:
    """Within the block ``audit.handed:NAME`` names these functions."""
    _held.update(functions)
    try:
        yield
    finally:
        for name in functions:
            _held.pop(name, None)


def anew(model: nn.Module) -> nn.Module:
    """A copy of a model, untrained: every layer initialised again, by the global generator.

    An attacker who copies a model starts from such a one: a copy that kept the weights would be the model
    itself. Raises PlanError for parameters that no layer says how to initialise.
    """
    made = copy.deepcopy(model)
    stuck = []
    for name, layer in made.named_modules():
        reset = getattr(layer, "reset_parameters", None) or getattr(layer, "_reset_parameters", None)
        if callable(reset):
            with torch.no_grad():
                reset()
        elif own := [key for key, _ in layer.named_parameters(recurse=False)]:
            stuck += [f"{name}.{key}".lstrip(".") for key in own]
    if stuck:
        raise PlanError(
            f"the model has parameters that nothing initialises anew ({', '.join(stuck[:3])}), and an "
            "attacker who copies it must start untrained: hand the function or class that "
            "builds it, and its weights: audit(Net, weights=net.state_dict(), …)"
        )
    return made.requires_grad_(True)
