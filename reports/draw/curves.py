"""Curves against a count on a log scale: one panel per method, one curve per sparsity, one pair of axes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from reports.data.aggregate import Figure, over_seeds
from reports.data.results import Results
from reports.draw.chart import Chart, Panel, Table, name_cell, value_cell
from reports.draw.plots import numbers, told
from reports.draw.style import INK, Look, step
from reports.draw.svg import Axis, Plot, around, ticks
from reports.language.words import counted, number, percent, shown

DENSE = Look(INK, (), "")
Curves = Mapping[str, Mapping[int, Figure]]
"""By variant and count."""


@dataclass(frozen=True, slots=True)
class Count:
    """What is counted: the key of the conditions, and its noun."""

    key: str
    one: str
    noun: str
    """In the plural."""

    def of(self, count: int) -> str:
        """So many of it."""
        return counted(count, self.one, self.noun)


def curves(results: Results, metric: str, attack: str, count: Count) -> dict[str, dict[int, Figure]]:
    """The figures of one attack that have a count above zero."""
    found: dict[str, dict[int, Figure]] = {}
    for figure in over_seeds(results.select(metric, {"attack": attack})):
        if figure.variant in results.made and figure.value is not None and figure.at.get(count.key, 0) > 0:
            found.setdefault(figure.variant, {})[int(figure.at[count.key])] = figure
    return found


def chart(results: Results, found: Curves, title: str, count: Count, caption: str) -> Chart:
    """One panel for each method, with dense in each."""
    strengths = sorted({s for v in results.made.values() if v.pruned and (s := v.strength) is not None})
    looks = {strength: step(i, len(strengths)) for i, strength in enumerate(strengths)}
    groups: dict[str, list[str]] = {}
    for variant in results.names(pruned=True):
        if variant in found:
            groups.setdefault(results.made[variant].series, []).append(variant)
    panels = tuple(
        _panel(results, (name, title), names, found, looks, count)
        for name, names in (groups or {"dense": []}).items()
    )
    legend = (("dense", DENSE), *((percent(strength), look) for strength, look in looks.items()))
    return Chart(caption, panels, _table(results, found, title, count), legend)


def _panel(
    results: Results,
    names: tuple[str, str],
    variants: list[str],
    found: Curves,
    looks: Mapping[float, Look],
    count: Count,
) -> Panel:
    counts = sorted({c for curve in found.values() for c in curve})
    figures = [figure for curve in found.values() for figure in curve.values()]
    y = around([v for f in figures for v in (f.value, f.low, f.high) if v is not None])
    ends = [math.log10(counts[0]), math.log10(counts[-1])]
    pad = 0.05 * max(ends[1] - ends[0], 0.5)
    plot = Plot(344, 250, Axis(ends[0] - pad, ends[1] + pad), y, left=44, right=10)
    plot.ticks_y([(v, f"{100 * v:.3g}%") for v in ticks(y.low, y.high)])
    named = [(math.log10(c), f"{c:,}") for c in _apart(counts)]
    plot.ticks_x(named, f"{count.noun[0].upper()}{count.noun[1:]} (log scale)")
    drawn = [("dense", "dense", DENSE)] if "dense" in found else []
    for variant in variants:
        strength = results.made[variant].strength
        drawn.append((variant, percent(strength), step(0, 1) if strength is None else looks[strength]))
    said = [f"{label}: {_draw(plot, results, found[variant], look, count)}" for variant, label, look in drawn]
    title = shown(names[0], 60)
    alt = f"Line chart. {names[1]}, {title}. {'; '.join(said[:8])}. The table below holds every point."
    return Panel(title, alt, plot)


def _apart(counts: list[int]) -> list[int]:
    """Those that have room for their names: each twice the one before at least, unless they are few."""
    if len(counts) < 6:
        return counts
    found = counts[:1]
    for c in counts[1:]:
        if c >= 2 * found[-1]:
            found.append(c)
    return found


def _draw(plot: Plot, results: Results, curve: Mapping[int, Figure], look: Look, count: Count) -> str:
    """One curve with its band; returns its ends in words."""
    points = [(math.log10(c), f, f.value or 0.0) for c, f in sorted(curve.items())]
    mine = sorted({numbers(results)[f.variant] for _, f, _ in points})
    plot.band(
        [(x, v if f.low is None else f.low, v if f.high is None else f.high) for x, f, v in points],
        look.colour, 0.1, mine,
    )  # fmt: skip
    plot.line([(x, v) for x, _, v in points], look, width=1.5, variants=mine)
    for x, figure, value in points:
        said = f"{count.of(int(figure.at[count.key]))}, {told(results, figure)}"
        plot.mark(x, value, look, said, size=2.2 if look.marker else 1.6, variants=mine)
    ends = sorted(curve.items())
    return ", ".join(f"{number(f.value, 'share')} at {c:,}" for c, f in ends[:: max(1, len(ends) - 1)])


def _table(results: Results, found: Curves, title: str, count: Count) -> Table:
    counts = sorted({c for curve in found.values() for c in curve})
    rows = tuple(
        (name_cell(variant), *(value_cell(curve.get(c)) for c in counts)) for variant, curve in found.items()
    )
    caption = f"{title}, mean over {counted(results.seeds, 'seed')}"
    return Table(caption, ("Variant", *(count.of(c) for c in counts)), rows)
