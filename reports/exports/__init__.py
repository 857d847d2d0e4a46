"""What a run can be written as: one module per format, whose name is the format's (with - for _).

A format module has a one-line docstring, ``FILE``, the name of the file it makes, and
``render(results, verdicts, baseline) -> str | bytes``: a pure function of the run, of what the policy says of
it, and of the earlier run it is compared with (or None).
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from reports.data.results import Results
from reports.gate.judge import Verdicts

Render = Callable[[Results, Verdicts, Results | None], str | bytes]


@dataclass(frozen=True, slots=True)
class Export:
    """A format module as its users see it."""

    name: str
    file: str
    render: Render
    summary: str


def names() -> tuple[str, ...]:
    """Every format, sorted."""
    found = (info.name for info in pkgutil.iter_modules(__path__) if not info.name.startswith("_"))
    return tuple(sorted(name.replace("_", "-") for name in found))


def export(name: str) -> Export:
    """One format. Raises ValueError on an unknown one."""
    if name not in names():
        raise ValueError(f"unknown format {name!r}: choose from {', '.join(names())}")
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    return Export(name, module.FILE, module.render, (module.__doc__ or "").partition("\n")[0])


def exports() -> dict[str, Export]:
    """Every format by name."""
    return {name: export(name) for name in names()}
