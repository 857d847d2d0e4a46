"""Charts: one module each. To add one, add a file; nothing else needs to know.

A chart module has ``TITLE``, ``SECTION`` (the probe whose section shows it), ``ORDER`` (smaller comes first)
and ``draw(results) -> Chart | None``, which returns None where the run has nothing for it to show. One that
shows in another order what others show as well has ``DETAIL = True``, and is folded away.

Other packages offer charts by entry points of the group ``prune_audit.charts``, each naming such a module.
One that cannot be loaded or drawn says so in its place: the page stands.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from reports.data.results import Results
from reports.draw.chart import Cell, Chart, Table
from reports.language.words import shown

GROUP = "prune_audit.charts"
"""Entry-point group: each entry names a module that is a chart."""


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
    found += [one for one in _offered() if one.name not in {entry.name for entry in found}]
    return {entry.name: entry for entry in sorted(found, key=lambda entry: (entry.order, entry.name))}


@cache
def _offered() -> tuple[Entry, ...]:
    """The charts of other packages, by name; ours go before one of the same name."""
    return tuple(map(_entry, sorted(entry_points(group=GROUP), key=lambda entry: entry.name)))


def _entry(offer: EntryPoint) -> Entry:
    what = f"chart {offer.name!r} ({offer.value})"
    try:
        module = offer.load()
        title, section, order = str(module.TITLE), str(module.SECTION), float(module.ORDER)
        drawn: Callable[[Results], Chart | None] = module.draw
    except Exception as error:  # a foreign module can raise anything
        message = f"{what} cannot be loaded: {type(error).__name__}: {error}"
        return Entry(offer.name, what, "tradeoffs", 1000, lambda results: _broken(what, message), True)

    def draw(results: Results) -> Chart | None:
        try:
            return drawn(results)
        except Exception as error:
            return _broken(what, f"{what} cannot be drawn: {type(error).__name__}: {error}")

    return Entry(offer.name, title, section, int(order), draw, bool(getattr(module, "DETAIL", False)))


def _broken(what: str, message: str) -> Chart:
    """In place of a chart of another package: what is wrong with it."""
    told = shown(message, 300)
    return Chart(
        f"{told}.", (), Table(shown(what, 120), ("Chart", "Error"), ((Cell(shown(what, 120)), Cell(told)),))
    )
