"""Attack families: one module each. To add one, add a file; nothing else needs to know.

A family module has ``FAMILY``, a :class:`Family`; its name is that of the probe whose rows it reads. The page
gives every family its section (and its tile, if it has one), and says NOT RUN where a run has nothing of it.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from reports.data.key import Key
from reports.data.results import Results


@dataclass(frozen=True, slots=True)
class Family:
    """What the page knows of a family beyond its probe's card, which comes with the run."""

    probe: str
    title: str
    order: int
    question: str
    """What a reader wants to know, as a question."""
    metrics: tuple[str, ...]
    """Its metrics, for a run or a policy that names one before any row does."""
    key: Callable[[Results], Key | None]
    """The figure that stands for the family in this run; None where it has none."""
    tile: bool = True
    """Whether it is an attack that the first screen has a tile for."""
    stake: str = ""
    """What a failure means for whoever ships the model: why its severity is what it is."""
    remedies: tuple[str, ...] = ()
    """What can be done, most fitting first."""


@cache
def families() -> dict[str, Family]:
    """Every family by its probe's name, in order of showing."""
    found: list[Family] = [
        importlib.import_module(f"{__name__}.{info.name}").FAMILY for info in pkgutil.iter_modules(__path__)
    ]
    return {family.probe: family for family in sorted(found, key=lambda f: (f.order, f.probe))}


def keys(results: Results) -> list[Key]:
    """The figures that stand for this run, at most one a family; chosen on dense alone."""
    found = (family.key(results) for family in families().values())
    return [key for key in found if key is not None]


def probe_of(results: Results, metric: str) -> str | None:
    """The probe that a metric belongs to: that of its rows, else the one whose family or card names it."""
    rows = results.select(metric, measured=False)
    if len(rows):
        return str(rows.iloc[0]["probe"])
    for family in families().values():
        if metric in family.metrics:
            return family.probe
    cards = results.about.get("cards", {})
    return next((probe for probe in cards if metric in cards[probe].get("metrics", ())), None)
