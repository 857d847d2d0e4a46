"""What pruning did to each class: the change in accuracy, class by class, variant by variant."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.data.key import method_title, robust
from reports.data.ledger import unpack
from reports.data.results import Results
from reports.draw.chart import Cell, Chart, Panel, Table, name_cell
from reports.draw.plots import means, numbers
from reports.draw.style import INK, MUTED, SERIES
from reports.draw.svg import Axis, Plot
from reports.language.words import MINUS, change, listing, number, shown
from reports.stats.classes import uneven

TITLE = "Accuracy lost, class by class"
SECTION = "accuracy"
ORDER = 20

MOST_CLASSES, MOST_VARIANTS = 12, 24
"""Drawn: the classes that change most, and the strongest prunings. The table has all variants."""
LOST, GAINED = SERIES[1], SERIES[0]


@dataclass(frozen=True, slots=True)
class Drops:
    """Changes against dense in one figure, means over seeds: (variants, classes), NaN for an empty class."""

    title: str
    variants: list[str]
    changes: NDArray[np.float64]
    adjusted: NDArray[np.float64]
    """p-values, see :func:`reports.stats.classes.uneven`."""
    sizes: NDArray[np.int64]


def draw(results: Results) -> Chart | None:
    """One panel for clean accuracy, one for robust accuracy at the ε that stands for the run."""
    names = [shown(name, 40) for name in results.about.get("subject", {}).get("classes") or ()]
    labels = np.asarray(results.about.get("test_labels") or [], dtype=np.int64)
    if len(names) < 2 or not len(labels) or labels.max() >= len(names):
        return None
    key = robust(results)
    figures: list[tuple[str, str, Mapping[str, Any]]] = [("Clean accuracy", "accuracy", {"split": "test"})]
    if key is not None:
        figures.append((key.label[0].upper() + key.label[1:], key.metric, key.at))
    drawn = (_drops(results, title, metric, at, labels, len(names)) for title, metric, at in figures)
    found = [drops for drops in drawn if drops is not None]
    if not found:
        return None
    panels = tuple(_panel(results, drops, names) for drops in found)
    return Chart(_caption(results, found, names), panels, _table(found, names))


def _drops(
    results: Results, title: str, metric: str, at: Mapping[str, Any], labels: NDArray[np.int64], classes: int
) -> Drops | None:
    outcomes: dict[str, dict[int, NDArray[np.bool_]]] = {}
    for row in results.select(metric, at).to_dict("records"):
        kept = unpack(row["outcomes"]) if isinstance(row["outcomes"], bytes) else None
        if kept and "correct" in kept and kept["correct"].shape == labels.shape:
            outcomes.setdefault(row["variant"], {})[int(row["seed"])] = kept["correct"].astype(bool)
    dense, variants, changes = outcomes.get("dense", {}), [], []
    for name in results.names(pruned=True):
        both = sorted(outcomes.get(name, {}).keys() & dense.keys())
        if both:
            variants.append(name)
            changes.append(np.mean([outcomes[name][s].astype(float) - dense[s] for s in both], axis=0))
    if not variants:
        return None
    each, sizes = np.asarray(changes), np.bincount(labels, minlength=classes)
    sums = each @ np.eye(classes)[labels]
    means = np.divide(sums, sizes, out=np.full(sums.shape, np.nan), where=sizes > 0)
    return Drops(title, variants, means, uneven(each, labels, classes), sizes)


def _caption(results: Results, found: list[Drops], names: list[str]) -> str:
    text = (
        "Each cell is the change against dense in points, on the test examples of that class: orange lost, "
        "blue gained. Framed: this class changed otherwise than the model’s other classes, by more than "
        "chance (permutation test; a picture with any false frame: 5% at most. What is not framed is not "
        "shown to be even). "
    )
    for drops in found:
        framed = np.argwhere(drops.adjusted < 0.05)
        if len(framed):
            row, column = min(framed, key=lambda cell: float(drops.changes[cell[0], cell[1]]))
            what = change(float(drops.changes[row, column]), "share")
            text += (
                f"{drops.title}: most in class “{names[column]}” of "
                f"{method_title(results, drops.variants[row])} ({what}). "
            )
        else:
            text += f"{drops.title}: no class is told apart from the others. "
    hidden = [n for n, size in zip(names, found[0].sizes, strict=True) if size == 0]
    if hidden:
        text += f"Without a test example: {listing(hidden[:6])}{' …' if len(hidden) > 6 else ''}. "
    return text + means(results)


def _panel(results: Results, drops: Drops, names: list[str]) -> Panel:
    moved = np.nan_to_num(np.abs(drops.changes))
    columns = sorted(np.argsort(-moved.max(axis=0), kind="stable")[:MOST_CLASSES].tolist())
    rows = sorted(np.argsort(-moved.mean(axis=1), kind="stable")[:MOST_VARIANTS].tolist())
    longest = max(len(shown(names[column], 9)) for column in columns)
    top, scale = 14 + 7 * longest, max(0.05, float(moved.max()))
    plot = Plot(
        168 + 31 * len(columns) + 8, top + 21 * len(rows) + 6, Axis(0, len(columns)), Axis(len(rows), 0),
        left=168, right=8, top=top, bottom=6,
    )  # fmt: skip
    for place, column in enumerate(columns):
        plot.text(plot.px(place) + 19, top - 6, shown(names[column], 9), colour=MUTED, turned=True)
    for height, row in enumerate(rows):
        variant = drops.variants[row]
        mine = [numbers(results)[variant]]
        name = method_title(results, variant)
        plot.text(plot.left - 6, plot.py(height) + 15, shown(name, 27), anchor="end", variants=mine)
        for place, column in enumerate(columns):
            value, x, y = float(drops.changes[row, column]), plot.px(place) + 1, plot.py(height) + 1
            if np.isnan(value):
                continue
            plot.box(x, y, 29, 19, LOST if value < 0 else GAINED, 0.75 * min(1.0, abs(value) / scale), mine)
            text = f"{100 * value:+.0f}".replace("-", MINUS) if abs(value) >= 0.005 else "0"
            plot.text(x + 14.5, y + 13.5, text, anchor="middle", variants=mine)
            if drops.adjusted[row, column] < 0.05:
                corners = [(x, y), (x + 29, y), (x + 29, y + 19), (x, y + 19), (x, y)]
                plot.path(corners, INK, 1.6, variants=mine)
    worst = np.unravel_index(np.nanargmin(drops.changes), drops.changes.shape)
    alt = (
        f"Grid of variants by classes. {drops.title}, change against dense in points. Largest loss: "
        f"{method_title(results, drops.variants[worst[0]])}, class {names[worst[1]]}, "
        f"{change(float(drops.changes[worst]), 'share')}. The table below holds every value."
    )
    return Panel(f"{drops.title}: change by class", alt, plot)


def _table(found: list[Drops], names: list[str]) -> Table:
    """One row per variant and figure; of many classes those that change most."""
    most = np.max([np.nan_to_num(np.abs(drops.changes)).max(axis=0) for drops in found], axis=0)
    columns = sorted(np.argsort(-most, kind="stable")[:40].tolist())
    rows = []
    for drops in found:
        for i, variant in enumerate(drops.variants):
            cells = [name_cell(variant), Cell(drops.title)]
            for column in columns:
                value = float(drops.changes[i, column])
                told = "uneven" if drops.adjusted[i, column] < 0.05 else ""
                cells.append(
                    Cell(number(None, "share"))
                    if np.isnan(value)
                    else Cell(change(value, "share").removesuffix(" points"), value, told)
                )
            rows.append(tuple(cells))
    heads = tuple(f"{names[c]} (n = {found[0].sizes[c]:,})" for c in columns)
    return Table(f"{TITLE}, in points against dense", ("Variant", "Figure", *heads), tuple(rows))
