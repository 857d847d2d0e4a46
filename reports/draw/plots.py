"""What the charts against sparsity have in common: a line per method, dense and its control as references."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.data import health
from reports.data.aggregate import Figure, figures
from reports.data.key import method_title
from reports.data.results import Results
from reports.draw.chart import Cell, Panel, Table, name_cell, range_cell, value_cell
from reports.draw.labels import LABEL, End, label_ends
from reports.draw.style import INK, MUTED, Look, series
from reports.draw.svg import Axis, Plot, around, ticks
from reports.language.metrics import Unit
from reports.language.metrics import metric as about_metric
from reports.language.words import DASH, counted, number, percent, shown, span


@dataclass(frozen=True, slots=True)
class Line:
    """A method's figures by achieved sparsity, or a single model of the user's own."""

    name: str
    look: Look
    points: tuple[tuple[float, Figure], ...]


def place(sparsity: float) -> float:
    """Where a sparsity stands on the axis: the logarithm of the compression ratio 1/(1 − sparsity).

    On it 50, 75, 90, 95 and 99% stand apart; on a linear axis the interesting end is squeezed together.
    """
    return -math.log10(max(1 - sparsity, 1e-4))


def methods(results: Results) -> list[str]:
    """Series in order: a method's variants form one, each model of the user's own is one by itself."""
    return list(dict.fromkeys(variant.series for variant in results.made.values() if variant.pruned))


def lines(results: Results, found: Mapping[str, Figure]) -> list[Line]:
    """The figures of pruned variants as lines, by sparsity; variants without a figure are left out."""
    order = methods(results)
    points: dict[str, list[tuple[float, Figure]]] = {name: [] for name in order}
    for variant in results.names(pruned=True):
        figure, sparsity = found.get(variant), results.made[variant].achieved_sparsity
        if figure is not None and figure.value is not None and sparsity is not None:
            points[results.made[variant].series].append((sparsity, figure))
    return [
        Line(name, series(i), tuple(sorted(points[name], key=lambda point: point[0])))
        for i, name in enumerate(order)
        if points[name]
    ]


def numbers(results: Results) -> dict[str, int]:
    """The number of every variant, by which the page's script finds its marks."""
    return {name: i for i, name in enumerate(results.names())}


def told(results: Results, figure: Figure) -> str:
    """A point in words: ``filter-l2 at 90%: 62.3% (60.1–64.0%)``."""
    unit = about_metric(figure.metric).unit
    ends = span(figure.low, figure.high, unit)
    return f"{method_title(results, figure.variant)}: {number(figure.value, unit)}" + (
        f" ({ends})" if ends != DASH else ""
    )


def against_sparsity(
    results: Results,
    metric: str,
    at: Mapping[str, Any],
    *,
    title: str,
    y_range: tuple[float, float] | None = None,
    level: tuple[float, str] | None = None,
    extra: Sequence[tuple[str, Mapping[str, Any]]] = (),
    width: int = 520,
) -> Panel | None:
    """Draw one metric against achieved sparsity; None if no pruned variant has a figure.

    ``level``: a horizontal line with its label (what guessing gives). ``extra``: further conditions of the
    same metric, drawn as thin grey lines averaged over methods (what an attacker has for nothing).
    """
    found = figures(results, metric, at)
    drawn = lines(results, found)
    if not drawn:
        return None
    flagged = doubtful(results, at.get("norm")) if metric == "robust_accuracy" else set()
    unit, number_of = about_metric(metric).unit, numbers(results)
    others = [(name, found[name]) for name in results.names(pruned=False) if name in found]
    greys = [(name, mean) for name, at_ in extra if (mean := _mean_line(results, metric, at_))]
    values = [v for line in drawn for _, f in line.points for v in (f.value, f.low, f.high) if v is not None]
    values += [f.value for _, f in others if f.value is not None] + [v for _, mean in greys for _, v in mean]
    values += [level[0]] if level is not None else []
    y = around(values) if y_range is None else around([*values, *y_range], pad=0)
    right = max(place(s) for line in drawn for s, _ in line.points)
    x, named = sparsity_axis(results, right)
    height = max(270, 110 + 15 * (len(drawn) + len(others) + len(greys)))
    plot = Plot(width, height, x, y, left=52, right=8 + 6 * LABEL)
    plot.ticks_y([(v, tick(v, unit)) for v in ticks(y.low, y.high)])
    plot.ticks_x(named, "Sparsity (log scale of compression)")
    ends = []
    for (name, figure), dashes in zip(others, ((), (4, 2), (1, 1)), strict=False):
        if figure.value is not None:
            if not dashes and figure.low is not None and figure.high is not None:
                plot.band([(e, figure.low, figure.high) for e in (x.low, x.high)], INK, 0.07)
            plot.level(figure.value, INK, dashes=dashes)
            mark = " (ringed)" if name in flagged else ""
            ends.append(End(figure.value, shown(name, LABEL - len(mark)) + mark, INK))
    for name, mean in greys:
        plot.line(mean, Look(MUTED, (1.5, 2), ""), width=1)
        ends.append(End(mean[-1][1], name, MUTED))
    if level is not None:
        plot.level(level[0], MUTED, width=1, dashes=(1, 2))
        ends.append(End(level[0], level[1], MUTED))
    ends += [draw_line(plot, results, line, number_of, flagged) for line in drawn]
    label_ends(plot, ends, right)
    return Panel(title, _alt(title, drawn, unit), plot)


def draw_line(
    plot: Plot, results: Results, line: Line, number_of: Mapping[str, int], flagged: Collection[str] = ()
) -> End:
    """One method: band or bars over the seeds, the line and its points; returns what its label needs.

    Points of variants in ``flagged`` get a ring.
    """
    spots = [(place(s), f.value or 0.0, f) for s, f in line.points]
    ends = [(x, y if f.low is None else f.low, y if f.high is None else f.high) for x, y, f in spots]
    mine = tuple(number_of[f.variant] for _, _, f in spots)
    if len(spots) > 1:
        plot.band(ends, line.look.colour, 0.14, mine)
        plot.line([(x, y) for x, y, _ in spots], line.look, variants=mine)
    else:
        plot.bar(*ends[0], line.look.colour, variants=mine)
    for x, y, figure in spots:
        plot.mark(x, y, line.look, told(results, figure), variants=[number_of[figure.variant]])
        if figure.variant in flagged:
            plot.ring(x, y)
    return End(spots[-1][1], shown(line.name, LABEL), line.look.colour, mine)


def legend(results: Results) -> tuple[tuple[str, Look], ...]:
    """Every method and its look, as lines against sparsity have it; dense first."""
    dense = ((("dense", Look(INK, (), "")),)) if "dense" in results.made else ()
    return (*dense, *((shown(name, 60), series(i)) for i, name in enumerate(methods(results))))


def doubtful(results: Results, norm: object) -> set[str]:
    """Variants whose attacks in that norm show signs of failure."""
    return {variant for variant, where in health.raised(results) if where == norm}


def rings(results: Results, norm: object) -> str:
    """What a ring is, where there is one."""
    if not doubtful(results, norm):
        return ""
    return " Ringed: attacks on that model show signs of failure, so it may be less robust than drawn."


def _mean_line(results: Results, metric: str, at: Mapping[str, Any]) -> list[tuple[float, float]]:
    """Mean over the pruned variants of equal nominal sparsity, by mean achieved sparsity."""
    groups: dict[float, list[tuple[float, float]]] = {}
    for variant, figure in figures(results, metric, at).items():
        if variant not in results.names(pruned=True):
            continue
        facts = results.made[variant]
        if figure.value is not None and facts.achieved_sparsity is not None:
            groups.setdefault(facts.strength or 0.0, []).append((facts.achieved_sparsity, figure.value))
    means = [(sum(s for s, _ in g) / len(g), sum(v for _, v in g) / len(g)) for g in groups.values()]
    return sorted(means)


def sparsity_axis(results: Results, right: float) -> tuple[Axis, list[tuple[float, str]]]:
    """The axis of sparsities, up to ``right`` (see :func:`place`), and a tick at each that was asked for."""
    wanted = {variant.strength for variant in results.made.values() if variant.pruned}
    kept: list[float] = []
    for sparsity in sorted((s for s in wanted if s is not None), reverse=True):
        if all(place(other) - place(sparsity) > 0.08 * max(right, 0.1) for other in kept):
            kept.append(sparsity)
    left = min((place(s) for s in kept), default=0.0)
    pad = 0.04 * max(right - left, 0.2)
    axis = Axis(min(left, right) - pad, right + pad)
    return axis, [(place(s), percent(s)) for s in kept if place(s) <= axis.high]


def tick(value: float, unit: Unit) -> str:
    """A value at an axis: as short as it can be."""
    if unit == "share":
        return f"{100 * value:.3g}%"
    if unit == "auc":
        return f"{value:.2f}"
    return number(value, unit)


def _alt(title: str, drawn: Sequence[Line], unit: Unit) -> str:
    """First and last point of every line, in words."""
    parts = []
    for line in drawn[:8]:
        (first, a), (last, b) = line.points[0], line.points[-1]
        ends = f"{number(a.value, unit)} at {percent(first)}"
        if len(line.points) > 1:
            ends += f", {number(b.value, unit)} at {percent(last)}"
        parts.append(f"{shown(line.name, 40)}: {ends}")
    more = f"; and {len(drawn) - 8} more" if len(drawn) > 8 else ""
    return f"Line chart. {title}. {'; '.join(parts)}{more}. The table below holds every point."


def means(results: Results) -> str:
    """What a single point or line is, where there is no band."""
    if results.seeds > 1:
        return f"Means over {counted(results.seeds, 'training seed')}."
    return "One training seed."


def band(results: Results) -> str:
    """What the band around a line is."""
    if results.seeds > 1:
        seeds = counted(results.seeds, "training seed")
        return f"Lines are means over {seeds}; bands run from the lowest seed to the highest."
    return "One training seed; bands are 95% intervals over the examples, blind to the luck of training."


def sparsity_table(
    results: Results, caption: str, columns: Sequence[tuple[str, str, Mapping[str, Any]]]
) -> Table:
    """One row per variant; each column (heading, metric, conditions) gives its mean and its range."""
    found = [figures(results, metric, at) for _, metric, at in columns]
    spread = "seeds" if results.seeds > 1 else "95% interval"
    heads = ["Variant", "Achieved sparsity"]
    for heading, _, _ in columns:
        heads += [heading, spread]
    rows = []
    for variant in results.names():
        sparsity = results.made[variant].achieved_sparsity
        cells = [name_cell(variant), Cell(percent(sparsity), sparsity)]
        for by in found:
            cells += [value_cell(by.get(variant)), range_cell(by.get(variant))]
        rows.append(tuple(cells))
    return Table(caption, tuple(heads), tuple(rows))
