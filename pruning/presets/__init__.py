"""Presets: recipes with a name. Each file here holds some in ``METHODS``; they are found by themselves."""

import importlib
import pkgutil
from dataclasses import dataclass

from pruning.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Method:
    """A named recipe, one line about it, and where it comes from."""

    name: str
    recipe: Recipe
    summary: str
    source: str


def methods() -> dict[str, Method]:
    """All presets by name; files in the order of their names, a file's presets in its own order."""
    found: dict[str, Method] = {}
    for module in sorted(module.name for module in pkgutil.iter_modules(__path__)):
        for method in importlib.import_module(f"{__name__}.{module}").METHODS:
            if method.name in found:
                raise ValueError(f"two pruning methods are named {method.name!r}")
            found[method.name] = method
    return found
