"""The Pareto front of size, robust accuracy and leakage: what no other model beats in all three."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.data.aggregate import figures
from reports.data.key import Key, collapsed, membership, method_title, robust
from reports.data.results import Results
from reports.draw.chart import Cell, Chart, Panel, Table, name_cell
from reports.draw.labels import label_points
from reports.draw.plots import means, methods
from reports.draw.style import INK, Look, series
from reports.draw.svg import blank, drawing
from reports.language import words
from reports.language.metrics import metric as about_metric
from reports.language.words import DASH, number, shown

TITLE = "Size against robustness and leakage"
SECTION = "tradeoffs"
ORDER = 20

SIZE = "nonzero_parameters"
NAMED = 9
"""Points on the front that are named in the picture."""


@dataclass(frozen=True, slots=True)
class Point:
    """One model: its size, and a figure for each risk, both as means over seeds."""

    variant: str
    size: float
    figures: tuple[float, ...]
    front: bool = False


def draw(results: Results) -> Chart | None:
    """One panel for each risk against size; models on the front are filled and named."""
    risks = [key for key in (robust(results), membership(results)) if key is not None]
    points = front(_points(results, risks), [about_metric(key.metric).worse for key in risks])
    if not risks or sum(results.made[p.variant].pruned for p in points) < 2:
        return None
    looks = {name: series(i) for i, name in enumerate(methods(results))}
    panels = tuple(_panel(results, points, i, key, looks) for i, key in enumerate(risks))
    what = words.listing(["size", *(key.label for key in risks)])
    caption = (
        f"Filled and named: models to which no other is at least equal in all of {what} and better in one "
        "(the Pareto front; collapsed models left out). Hollow: some other model is. Small distances may be "
        f"chance: the table “Against dense” tells. {means(results)}"
    )
    legend = [("dense", Look(INK, (), "*"))] + [(shown(name, 60), look) for name, look in looks.items()]
    rows = tuple(
        (
            name_cell(p.variant),
            Cell(number(p.size, "count"), p.size),
            *(Cell(number(v, about_metric(k.metric).unit), v) for v, k in zip(p.figures, risks, strict=True)),
            Cell("on the front" if p.front else DASH),
        )
        for p in points
    )
    heads = ("Variant", about_metric(SIZE).title, *(k.label[0].upper() + k.label[1:] for k in risks), "Front")
    return Chart(caption, panels, Table(TITLE, heads, rows), tuple(legend))


def _points(results: Results, risks: Sequence[Key]) -> list[Point]:
    sizes = figures(results, SIZE, {})
    tables = [figures(results, key.metric, key.at) for key in risks]
    fallen = collapsed(results)
    points = []
    for variant in results.names():
        values = [by[variant].value if variant in by else None for by in tables]
        size = sizes[variant].value if variant in sizes else None
        known = [v for v in values if v is not None]
        if size is not None and size > 0 and len(known) == len(tables) and variant not in fallen:
            points.append(Point(variant, size, tuple(known)))
    return points


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
    results: Results, points: Sequence[Point], risk: int, key: Key, looks: Mapping[str, Look]
) -> Panel:
    unit = about_metric(key.metric).unit
    with drawing():
        axes = blank(520, 330, left=54, right=20, bottom=44)
        for point in points:
            facts = results.made[point.variant]
            look = looks.get(facts.series, Look(INK, (), "*" if facts.method == "dense" else "d"))
            axes.plot(
                [point.size], [point.figures[risk]], color=look.colour, marker=look.marker, linestyle="none",
                markersize=11 if look.marker == "*" else 7, markeredgewidth=1.3,
                markerfacecolor=look.colour if point.front else "none",
            )  # fmt: skip
        axes.set_xscale("log")
        _ticks(axes, [point.size for point in points], unit)
        named = [p for p in points if p.front][:NAMED]
        label_points(axes, [(p.size, p.figures[risk], _short(results, p.variant)) for p in named])
        axes.set_xlabel("Non-zero parameters (log scale)")
    title = key.label[0].upper() + key.label[1:]
    said = "; ".join(
        f"{method_title(results, p.variant)}: {number(p.figures[risk], unit)} at {number(p.size, 'count')}"
        for p in named
    )
    return Panel(
        f"{title} against size",
        f"Scatter chart. {title} against non-zero parameters. On the front: {said}. The table below holds "
        "every point.",
        axes.figure,
    )


def _short(results: Results, variant: str) -> str:
    return shown(method_title(results, variant).replace(" at ", " "), 26)


def _ticks(axes: Any, sizes: Sequence[float], unit: str) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(lambda value, _: number(value, "count"))
    axes.set_xlim(min(sizes) / 1.25, max(sizes) * 1.25)
    if unit == "share":
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%")
    axes.margins(y=0.14)
