"""The nouns of a chart: panels to draw, a caption that says what to see, and the data as a table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reports.data.aggregate import Figure
from reports.data.ledger import canonical
from reports.draw.style import Look
from reports.draw.svg import Plot
from reports.gate.status import Mark
from reports.language.metrics import metric as about_metric
from reports.language.words import DASH, number, shown, span


@dataclass(frozen=True, slots=True)
class Cell:
    """A table cell: what is read, the exact number behind it (None for text), and a word of judgement.

    ``mark``: a policy's status, shown before the text; ``link``: the id on the page that the text leads to.
    """

    text: str
    value: float | None = None
    verdict: str = ""
    mark: Mark | None = None
    link: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first cell of every row is its header."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture, its heading, and in words what it shows."""

    title: str
    alt: str
    plot: Plot


def subject(metric: str, at: Mapping[str, Any]) -> tuple[str, str]:
    """What a line against sparsity is of, so that no page draws the same one twice."""
    return metric, canonical(dict(at))


@dataclass(frozen=True, slots=True)
class Chart:
    """What a module in :mod:`reports.draw.charts` draws; without panels, caption and table say it all."""

    caption: str
    panels: tuple[Panel, ...]
    table: Table
    legend: tuple[tuple[str, Look], ...] = ()
    """What the lines of every panel are."""
    named: bool = False
    """Whether lines carry their names, so that only a narrow screen needs the legend."""
    shows: tuple[tuple[str, str], ...] = ()
    """The :func:`subject` of each panel, where it is one metric against sparsity."""


def name_cell(name: object) -> Cell:
    """A cell that holds a name, fit to be shown."""
    return Cell(shown(name))


def value_cell(figure: Figure | None) -> Cell:
    """The mean of a figure; where there is none, the status that says why."""
    if figure is None:
        return Cell(DASH)
    if figure.value is None:
        return Cell(figure.status.replace("_", " "))
    return Cell(number(figure.value, about_metric(figure.metric).unit), figure.value)


def range_cell(figure: Figure | None) -> Cell:
    """Lowest to highest seed, or the 95% interval of a single one."""
    if figure is None or figure.value is None:
        return Cell(DASH)
    return Cell(span(figure.low, figure.high, about_metric(figure.metric).unit))
