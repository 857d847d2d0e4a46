"""Size against each risk: which models are not beaten by another that is smaller and no worse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.data.aggregate import Figure, figures
from reports.data.key import Key, collapsed, membership, method_title, robust
from reports.data.results import Results
from reports.draw.chart import Cell, Chart, Panel, Table, name_cell, range_cell, value_cell
from reports.draw.labels import Box, label_points
from reports.draw.plots import methods, numbers, tick, told
from reports.draw.style import INK, Look, series
from reports.draw.svg import Axis, Plot, around, log_ticks, ticks
from reports.language.metrics import metric as about_metric
from reports.language.words import DASH, counted, number, percent, shown

TITLE = "Size against robustness and leakage"
SECTION = "tradeoffs"
ORDER = 20

SIZE = "nonzero_parameters"
NAMED = 24
"""Points of the front that are named in the picture."""
RADIUS = 4.5
"""Of a marker, in pixels."""


@dataclass(frozen=True, slots=True)
class Point:
    """One model: its size, and a figure for each risk, both as means over seeds."""

    variant: str
    size: float
    figures: tuple[float, ...]
    front: bool = False


def draw(results: Results) -> Chart | None:
    """One panel for each risk against size; models on its front are filled and named by their sparsity."""
    risks = [key for key in (robust(results), membership(results)) if key is not None]
    sizes, tables = figures(results, SIZE, {}), [figures(results, key.metric, key.at) for key in risks]
    found = [_points(results, sizes, by, key) for by, key in zip(tables, risks, strict=True)]
    if not any(sum(results.made[p.variant].pruned for p in points) >= 2 for points in found):
        return None
    looks = {name: series(i) for i, name in enumerate(methods(results))}
    drawn = [
        _panel(results, points, by, key, looks)
        for points, by, key in zip(found, tables, risks, strict=True)
        if points
    ]
    unnamed = sum(len(left_out) for _, left_out in drawn)
    caption = (
        "Filled, and named by its sparsity: no other model is at least as small and as good (the Pareto "
        "front of size and this figure). Hollow: some other model is, or it has collapsed. Bars span the "
        "seeds where there are several, else the 95% interval; where they overlap, the order may be chance, "
        "and the table “Against dense” tells."
    )
    if unnamed:
        caption += f" {counted(unnamed, 'name')} found no room; rest the pointer on the marker for it."
    caption += f" Means over {counted(results.seeds, 'training seed')}." if results.seeds > 1 else (
        " One training seed."
    )  # fmt: skip
    kinds = {Look(INK, (), _own(results.made[v].method)): v for v in results.names(pruned=False)}
    legend = [(shown(name, 60), look) for look, name in kinds.items()]
    legend += [(shown(name, 60), look) for name, look in looks.items()]
    return Chart(
        caption,
        tuple(panel for panel, _ in drawn),
        _table(results, sizes, tables, risks, found),
        tuple(legend),
    )


def _points(
    results: Results, sizes: Mapping[str, Figure], risk: Mapping[str, Figure], key: Key
) -> list[Point]:
    """Every model with a size and this figure; a collapsed one is on no front."""
    fallen, points = collapsed(results), []
    for variant in results.names():
        size = sizes[variant].value if variant in sizes else None
        value = risk[variant].value if variant in risk else None
        if size is not None and size > 0 and value is not None:
            points.append(Point(variant, size, (value,)))
    best = {
        p.variant: p.front
        for p in front([p for p in points if p.variant not in fallen], [about_metric(key.metric).worse])
    }
    return [Point(p.variant, p.size, p.figures, best.get(p.variant, False)) for p in points]


def front(points: Sequence[Point], worse: Sequence[str]) -> list[Point]:
    """The same points, marked where no other is at least as good in everything and better in something.

    ``worse``: for each figure, the direction in which its owner loses; size is worse where larger.
    """

    def losses(point: Point) -> tuple[float, ...]:
        return (point.size, *(-v if w == "lower" else v for v, w in zip(point.figures, worse, strict=True)))

    costs = [losses(point) for point in points]
    return [
        Point(
            point.variant, point.size, point.figures,
            not any(
                other != mine and all(o <= m for o, m in zip(other, mine, strict=True)) for other in costs
            ),
        )
        for point, mine in zip(points, costs, strict=True)
    ]  # fmt: skip


def _panel(
    results: Results, points: Sequence[Point], risk: Mapping[str, Figure], key: Key, looks: Mapping[str, Look]
) -> tuple[Panel, list[str]]:
    """The picture, and the names that found no room in it."""
    unit, number_of = about_metric(key.metric).unit, numbers(results)
    ends = {p.variant: _ends(risk[p.variant], p.figures[0]) for p in points}
    sizes = [p.size for p in points]
    x, y = Axis(min(sizes) / 1.35, max(sizes) * 1.35, log=True), around(
        [v for pair in ends.values() for v in pair], pad=0.08
    )  # fmt: skip
    plot = Plot(520, 320, x, y, left=52, right=14, bottom=44)
    plot.ticks_y([(v, tick(v, unit)) for v in ticks(y.low, y.high)])
    plot.ticks_x(_spaced(plot, log_ticks(x.low, x.high)), "Non-zero parameters (log scale)")
    obstacles = []
    for point in points:
        spot, (low, high), mine = (
            (plot.px(point.size), plot.py(point.figures[0])), ends[point.variant], [number_of[point.variant]],
        )  # fmt: skip
        look = looks.get(results.made[point.variant].series) or Look(
            INK, (), _own(results.made[point.variant].method)
        )
        plot.bar(point.size, low, high, look.colour, width=1, opacity=0.55, variants=mine)
        obstacles += [
            Box(spot[0] - 6, spot[1] - 6, spot[0] + 6, spot[1] + 6),
            Box(spot[0] - 1, plot.py(high), spot[0] + 1, plot.py(low)),
        ]
    for point in points:
        facts = results.made[point.variant]
        look = looks.get(facts.series) or Look(INK, (), _own(facts.method))
        plot.mark(
            point.size, point.figures[0], look, told(results, risk[point.variant]), size=RADIUS,
            hollow=not point.front, variants=[number_of[point.variant]],
        )  # fmt: skip
    named = [p for p in points if p.front][:NAMED]
    left_out = label_points(
        plot,
        [
            (
                (plot.px(p.size), plot.py(p.figures[0])),
                _short(results, p.variant),
                number_of[p.variant],
            )
            for p in named
        ],
        obstacles,
    )
    title = key.label[0].upper() + key.label[1:]
    said = "; ".join(
        f"{method_title(results, p.variant)}: {number(p.figures[0], unit)} at {number(p.size, 'count')}"
        for p in named
    )
    alt = (
        f"Scatter chart. {title} against non-zero parameters. On the front: {said or 'none'}. The table "
        "below holds every point."
    )
    return Panel(f"{title} against size", alt, plot), left_out


def _own(method: str) -> str:
    """The marker of a model that no method made."""
    return "*" if method == "dense" else "d"


def _ends(figure: Figure, value: float) -> tuple[float, float]:
    low, high = figure.low, figure.high
    return (value if low is None else low, value if high is None else high)


def _short(results: Results, variant: str) -> str:
    facts = results.made[variant]
    return percent(facts.sparsity) if facts.pruned and facts.sparsity else shown(variant, 16)


def _spaced(plot: Plot, values: Sequence[float]) -> list[tuple[float, str]]:
    """Those of the ticks that have room for their text, each with it."""
    kept: list[tuple[float, str]] = []
    for value in values:
        text = number(value, "count")
        if not kept or plot.px(value) - plot.px(kept[-1][0]) > 3.4 * (len(text) + len(kept[-1][1])) + 8:
            kept.append((value, text))
    return kept


def _table(
    results: Results,
    sizes: Mapping[str, Figure],
    tables: Sequence[Mapping[str, Figure]],
    risks: Sequence[Key],
    found: Sequence[Sequence[Point]],
) -> Table:
    fallen, rows = collapsed(results), []
    fronts = [{p.variant for p in points if p.front} for points in found]
    heads = ["Variant", about_metric(SIZE).title]
    for key in risks:
        spread = "seeds" if results.seeds > 1 else "95% interval"
        heads += [key.label[0].upper() + key.label[1:], spread, "Front"]
    for variant in results.names():
        cells = [name_cell(variant), value_cell(sizes.get(variant))]
        for by, on in zip(tables, fronts, strict=True):
            state = "collapsed" if variant in fallen else "on the front" if variant in on else DASH
            cells += [value_cell(by.get(variant)), range_cell(by.get(variant)), Cell(state)]
        rows.append(tuple(cells))
    return Table(TITLE, tuple(heads), tuple(rows))
