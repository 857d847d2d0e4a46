"""What a run can be written as: one module per format, whose name is the format's.

A format module has ``FILE``, the name of the file it makes, and ``render(results) -> str``.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from reports.results import Results


@dataclass(frozen=True, slots=True)
class Export:
    """A format module as its users see it."""

    name: str
    file: str
    render: Callable[[Results], str]


def exports() -> dict[str, Export]:
    """Every format by name."""
    found = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        found[info.name] = Export(info.name, module.FILE, module.render)
    return found
