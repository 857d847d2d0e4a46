"""Slope charts: from dense to pruned at one sparsity, one line per method, one panel per figure."""

from reports.data.aggregate import Figure, figures
from reports.data.key import Key
from reports.data.results import Results
from reports.draw.chart import Cell, Chart, Panel, Table, name_cell, value_cell
from reports.draw.labels import LABEL, LINE, spread_apart
from reports.draw.plots import legend, means, methods, numbers, told
from reports.draw.style import INK, Look, series
from reports.draw.svg import Axis, Plot, around
from reports.families import keys
from reports.language.metrics import metric as about_metric
from reports.language.words import change, number, percent, shown
from reports.story.analysis import analyse

TITLE = "From dense to pruned"
SECTION = "tradeoffs"
ORDER = 30
DETAIL = True


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
        panels.append(_panel(results, key, dense, known, percent(strength)))
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
    table = Table(f"{TITLE}, {percent(strength)}", heads, tuple(rows))
    return Chart(caption, tuple(panels), table, legend(results), named=True)


def _panel(
    results: Results, key: Key, dense: Figure, ends: list[tuple[str, int, Figure]], pruned: str
) -> Panel:
    unit = about_metric(key.metric).unit
    start = dense.value or 0.0
    y = around([start, *(f.value or 0.0 for _, _, f in ends)], pad=0.12)
    plot = Plot(
        430, max(150, 44 + LINE * (len(ends) + 1)), Axis(0, 1), y, left=72, right=40 + 8 * LABEL, bottom=24
    )
    plot.ticks_x([(0, "dense"), (1, pruned)])
    plot.text(plot.left - 8, plot.py(start) + 4, number(start, unit), anchor="end")
    heights = spread_apart([plot.py(f.value or 0.0) for _, _, f in ends], plot.top, plot.bottom, LINE)
    for (name, place, figure), height in zip(ends, heights, strict=True):
        look, value, mine = series(place), figure.value or 0.0, [numbers(results)[figure.variant]]
        plot.line([(0, start), (1, value)], look, variants=mine)
        plot.mark(1, value, look, told(results, figure), variants=mine)
        spots = [(plot.right, plot.py(value)), (plot.right + 18, height)]
        plot.path(spots, look.colour, 0.6, variants=mine)
        label = f"{number(value, unit)} {shown(name, LABEL)}"
        plot.text(plot.right + 22, height + 4, label, variants=mine)
    plot.mark(0, start, Look(INK, (), "o"), told(results, dense))
    title = key.label[0].upper() + key.label[1:]
    said = "; ".join(f"{shown(n, 40)}: {number(f.value, unit)}" for n, _, f in ends[:8])
    return Panel(title, f"Slope chart. {title}: dense {number(start, unit)}; at {pruned}, {said}.", plot)
