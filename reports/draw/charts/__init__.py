"""Charts: one module each. To add one, add a file; nothing else needs to know.

A chart module has ``TITLE``, ``SECTION`` (the probe whose section shows it), ``ORDER`` (smaller comes first)
and ``draw(results) -> Chart | None``, which returns None where the run has nothing for it to show. One that
shows in another order what others show as well has ``DETAIL = True``, and is folded away.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from reports.data.results import Results
from reports.draw.chart import Chart


@dataclass(frozen=True, slots=True)
class Entry:
    """A chart module as the page sees it."""

    name: str
    title: str
    section: str
    order: int
    draw: Callable[[Results], Chart | None]
    detail: bool


def charts() -> dict[str, Entry]:
    """Every chart by its module's name, in order of showing."""
    found = []
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        detail = getattr(module, "DETAIL", False)
        found.append(Entry(info.name, module.TITLE, module.SECTION, module.ORDER, module.draw, detail))
    return {entry.name: entry for entry in sorted(found, key=lambda entry: (entry.order, entry.name))}
