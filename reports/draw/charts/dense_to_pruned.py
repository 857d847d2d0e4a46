"""Slope charts: from dense to pruned at one sparsity, one line per method, one panel per figure."""

from reports.data.aggregate import Figure, figures
from reports.data.key import Key
from reports.data.results import Results
from reports.draw.chart import Cell, Chart, Panel, Table, name_cell, value_cell
from reports.draw.labels import LABEL, spread_apart
from reports.draw.plots import means, methods
from reports.draw.style import INK, series
from reports.draw.svg import blank, drawing
from reports.families import keys
from reports.language.metrics import metric as about_metric
from reports.language.words import change, number, percent, shown
from reports.story.analysis import analyse

TITLE = "From dense to pruned"
SECTION = "tradeoffs"
ORDER = 30


def draw(results: Results) -> Chart | None:
    """At the sparsity of the strongest pruning that keeps clean accuracy (or loses least)."""
    telling = analyse(results).telling
    strength = None if telling is None else results.made[telling].strength
    if strength is None:
        return None
    order = methods(results)
    at = {v.series: v.name for v in results.made.values() if v.pruned and v.strength == strength}
    chosen = [name for name in order if name in at]
    panels, rows = [], []
    for key in keys(results):
        by = figures(results, key.metric, key.at)
        dense = by.get("dense")
        ends = [(n, order.index(n), by.get(at[n])) for n in chosen]
        known = [(n, i, f) for n, i, f in ends if f is not None and f.value is not None]
        if dense is None or dense.value is None or not known:
            continue
        panels.append(_panel(key, dense, known, percent(strength)))
        unit = about_metric(key.metric).unit
        for name, _, f in known:
            moved = (f.value or 0.0) - dense.value
            label = Cell(key.label[0].upper() + key.label[1:])
            moved_cell = Cell(change(moved, unit), moved)
            rows.append((label, name_cell(at[name]), value_cell(dense), value_cell(f), moved_cell))
    if not panels:
        return None
    caption = (
        f"What {percent(strength)} sparsity does to each figure, method by method; lines "
        "that fall together are the price of sparsity, lines that part are the method’s doing. Each panel "
        "has its own scale. Whether a change is more than chance is in the table “Against dense”. "
        f"{means(results)}"
    )
    heads = ("Figure", "Variant", "Dense", "Pruned", "Change of the means")
    return Chart(caption, tuple(panels), Table(f"{TITLE}, {percent(strength)}", heads, tuple(rows)))


def _panel(key: Key, dense: Figure, ends: list[tuple[str, int, Figure]], pruned: str) -> Panel:
    unit = about_metric(key.metric).unit
    start = dense.value or 0.0
    from matplotlib.ticker import FixedFormatter, FixedLocator

    with drawing():
        axes = blank(430, 230, left=72, right=40 + 8 * LABEL, bottom=26, top=16)
        axes.grid(visible=False)
        for _, place, figure in ends:
            look = series(place)
            axes.plot(
                [0, 1], [start, figure.value], color=look.colour, marker=look.marker, markevery=[1],
                dashes=look.dashes or (None, None), markeredgewidth=0,
            )  # fmt: skip
        axes.plot([0], [start], marker="o", color=INK, markersize=5)
        axes.set(xlim=(-0.04, 1.04))
        axes.margins(y=0.2)
        axes.xaxis.set_major_locator(FixedLocator([0, 1]))
        axes.xaxis.set_major_formatter(FixedFormatter(["dense", pruned]))
        axes.yaxis.set_visible(False)
        axes.spines["left"].set_visible(False)
        axes.text(-0.08, start, number(start, unit), ha="right", va="center", fontsize=10.5, color=INK)
        low, high = axes.get_ylim()
        heights = spread_apart([f.value or 0.0 for _, _, f in ends], low, high, (high - low) * 14 / 188)
        for (name, place, figure), height in zip(ends, heights, strict=True):
            axes.plot(
                [1, 1.12], [figure.value, height], color=series(place).colour, linewidth=0.6, clip_on=False
            )
            text = f"{number(figure.value, unit)} {shown(name, LABEL)}"
            axes.text(1.15, height, text, va="center", fontsize=10.5, color=INK, clip_on=False)
    title = key.label[0].upper() + key.label[1:]
    said = "; ".join(f"{shown(n, 40)}: {number(f.value, unit)}" for n, _, f in ends[:8])
    return Panel(
        title, f"Slope chart. {title}: dense {number(start, unit)}; at {pruned}, {said}.", axes.figure
    )
