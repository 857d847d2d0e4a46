"""Extraction fidelity against queries: one panel per method, one curve per sparsity, the same axes in all."""

import math
from collections.abc import Mapping

from reports.data.aggregate import Figure, over_seeds
from reports.data.key import extraction
from reports.data.results import Results
from reports.draw.chart import Chart, Panel, Table, name_cell, value_cell
from reports.draw.plots import band, numbers, told
from reports.draw.style import INK, Look, step
from reports.draw.svg import Axis, Plot, around, ticks
from reports.language import words
from reports.language.metrics import LUCK
from reports.language.words import counted, number, percent, shown

TITLE = "Extraction fidelity against queries"
SECTION = "extraction"
ORDER = 20

DENSE = Look(INK, (), "")
Curves = Mapping[str, Mapping[int, Figure]]


def draw(results: Results) -> Chart | None:
    """One panel for each method, with dense in each; the attack that stands for the run."""
    key = extraction(results)
    curves = {} if key is None else _curves(results, str(key.at["attack"]))
    if key is None or not curves:
        return None
    strengths = sorted({s for v in results.made.values() if v.pruned and (s := v.strength) is not None})
    looks = {strength: step(i, len(strengths)) for i, strength in enumerate(strengths)}
    groups: dict[str, list[str]] = {}
    for variant in results.names(pruned=True):
        if variant in curves:
            groups.setdefault(results.made[variant].series, []).append(variant)
    panels = tuple(
        _panel(results, name, names, curves, looks) for name, names in (groups or {"dense": []}).items()
    )
    caption = (
        f"How often a copy ({words.attack(key.at['attack'])}) gives the model’s answer, by the number of "
        "queries that it was trained on (log scale). A curve above dense’s: the pruned model is copied more "
        "cheaply. "
        f"{band(results)} {LUCK}"
    )
    legend = (("dense", DENSE), *((percent(strength), look) for strength, look in looks.items()))
    return Chart(caption, panels, _table(results, curves), legend)


def _curves(results: Results, attack: str) -> dict[str, dict[int, Figure]]:
    """By variant and queries."""
    curves: dict[str, dict[int, Figure]] = {}
    for figure in over_seeds(results.select("extraction_fidelity", {"attack": attack})):
        if figure.variant in results.made and figure.value is not None and figure.at.get("queries", 0) > 0:
            curves.setdefault(figure.variant, {})[int(figure.at["queries"])] = figure
    return curves


def _panel(
    results: Results, name: str, variants: list[str], curves: Curves, looks: Mapping[float, Look]
) -> Panel:
    budgets = sorted({queries for curve in curves.values() for queries in curve})
    found = [figure for curve in curves.values() for figure in curve.values()]
    y = around([v for f in found for v in (f.value, f.low, f.high) if v is not None])
    ends = [math.log10(budgets[0]), math.log10(budgets[-1])]
    pad = 0.05 * max(ends[1] - ends[0], 0.5)
    plot = Plot(344, 250, Axis(ends[0] - pad, ends[1] + pad), y, left=44, right=10)
    plot.ticks_y([(v, f"{100 * v:.3g}%") for v in ticks(y.low, y.high)])
    plot.ticks_x([(math.log10(b), f"{b:,}") for b in budgets], "Queries (log scale)")
    drawn = [("dense", "dense", DENSE)] if "dense" in curves else []
    for variant in variants:
        strength = results.made[variant].strength
        drawn.append((variant, percent(strength), step(0, 1) if strength is None else looks[strength]))
    said = [f"{label}: {_draw(plot, results, curves[variant], look)}" for variant, label, look in drawn]
    title = shown(name, 60)
    alt = f"Line chart. {TITLE}, {title}. {'; '.join(said[:8])}. The table below holds every point."
    return Panel(title, alt, plot)


def _draw(plot: Plot, results: Results, curve: Mapping[int, Figure], look: Look) -> str:
    """One curve with its band; returns its ends in words."""
    points = [(math.log10(queries), f, f.value or 0.0) for queries, f in sorted(curve.items())]
    mine = sorted({numbers(results)[f.variant] for _, f, _ in points})
    plot.band(
        [(x, v if f.low is None else f.low, v if f.high is None else f.high) for x, f, v in points],
        look.colour, 0.1, mine,
    )  # fmt: skip
    plot.line([(x, v) for x, _, v in points], look, width=1.5, variants=mine)
    for x, figure, value in points:
        said = f"{figure.at['queries']:,} queries, {told(results, figure)}"
        plot.mark(x, value, look, said, size=2.2 if look.marker else 1.6, variants=mine)
    ends = sorted(curve.items())
    return ", ".join(f"{number(f.value, 'share')} at {q:,}" for q, f in ends[:: max(1, len(ends) - 1)])


def _table(results: Results, curves: Curves) -> Table:
    budgets = sorted({queries for curve in curves.values() for queries in curve})
    rows = tuple(
        (name_cell(variant), *(value_cell(curve.get(b)) for b in budgets))
        for variant, curve in curves.items()
    )
    caption = f"{TITLE}, mean over {counted(results.seeds, 'seed')}"
    return Table(caption, ("Variant", *(f"{b:,} queries" for b in budgets)), rows)
