"""Small multiples: one panel per method, the same axes in all; what it keeps and what it leaks."""

from collections.abc import Mapping

from reports.data.aggregate import Figure, figures
from reports.data.key import Key
from reports.data.results import Results
from reports.draw.chart import Chart, Panel, Table, name_cell, range_cell, value_cell
from reports.draw.labels import LABEL, label_ends
from reports.draw.plots import Line, band, draw_line, lines, methods, numbers, place, sparsity_axis
from reports.draw.style import Look, series
from reports.draw.svg import Axis, Plot, ticks
from reports.families import keys
from reports.language.words import number, percent, shown

TITLE = "Methods side by side"
SECTION = "tradeoffs"
ORDER = 40
DETAIL = True

MOST = 12
"""Panels; with more methods than this, the first ones are drawn and the table holds the rest."""
_SHORT = {
    "accuracy": "clean accuracy",
    "robust_accuracy": "robust accuracy",
    "membership_auc": "membership AUC",
    "extraction_fidelity": "extraction fidelity",
    "tampering_accuracy": "after tampering",
    "tampering_success": "the trigger’s success",
}


def draw(results: Results) -> Chart | None:
    """Every figure that stands for the run, against sparsity, on one axis from 0 to 1."""
    chosen = keys(results)
    found = {key.label: figures(results, key.metric, key.at) for key in chosen}
    by_method: dict[str, list[tuple[str, Line]]] = {}
    for i, key in enumerate(chosen):
        for line in lines(results, found[key.label]):
            short = _short(key)
            by_method.setdefault(line.name, []).append((short, Line(short, series(i), line.points)))
    titles = {_short(key): found[key.label] for key in chosen}
    order = [name for name in methods(results) if name in by_method]
    several = [name for name in order if any(len(line.points) > 1 for _, line in by_method[name])]
    panels = [_panel(results, name, by_method[name], titles) for name in (several or order)[:MOST]]
    if not panels or len(chosen) < 2:
        return None
    caption = (
        "What one method keeps and gives away as it prunes harder; compare panels, their axes are the same. "
        "Accuracies and fidelity are shares, membership AUC is 0.5 where an attacker guesses. The dotted "
        f"lines at the left are dense’s. {band(results)}"
    )
    rows = []
    for variant in results.names():
        cells = [name_cell(variant)]
        for by in found.values():
            cells += [value_cell(by.get(variant)), range_cell(by.get(variant))]
        rows.append(tuple(cells))
    spread = "seeds" if results.seeds > 1 else "95% interval"
    heads = ["Variant", *(h for key in chosen for h in (key.label[0].upper() + key.label[1:], spread))]
    key_of = tuple((_short(key), series(i)) for i, key in enumerate(chosen))
    return Chart(caption, tuple(panels), Table(TITLE, tuple(heads), tuple(rows)), key_of, named=True)


def _short(key: Key) -> str:
    """What a figure is called where there is little room."""
    return _SHORT.get(key.metric, shown(key.label, LABEL))


def _panel(
    results: Results, method: str, drawn: list[tuple[str, Line]], found: Mapping[str, Mapping[str, Figure]]
) -> Panel:
    ends = [place(s) for v in results.made.values() if v.pruned and (s := v.achieved_sparsity) is not None]
    right = max(ends)
    x, named = sparsity_axis(results, right)
    plot = Plot(352, 250, x, Axis(0, 1.03), left=34, right=8 + 5 * LABEL)
    plot.ticks_y([(v, f"{v:.1f}") for v in ticks(0, 1)])
    plot.ticks_x(named, "Sparsity (log scale)")
    for short, line in drawn:
        dense, (first, figure) = found[short].get("dense"), line.points[0]
        if dense is not None and dense.value is not None and figure.value is not None:
            ends_at = [(x.low, dense.value), (place(first), figure.value)]
            plot.line(ends_at, Look(line.look.colour, (1, 2), ""), width=0.9)
    number_of = numbers(results)
    label_ends(plot, [draw_line(plot, results, line, number_of) for _, line in drawn], right)
    said = "; ".join(
        f"{short}: {number(line.points[0][1].value, 'auc')} at {percent(line.points[0][0])}, "
        f"{number(line.points[-1][1].value, 'auc')} at {percent(line.points[-1][0])}"
        for short, line in drawn
    )
    return Panel(
        shown(method, 60),
        f"Line chart. {shown(method, 60)}. {said}. The table below holds every point.",
        plot,
    )
