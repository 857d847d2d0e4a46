"""What the charts against sparsity have in common: a line per method, dense and its control as references."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.data import health
from reports.data.aggregate import Figure, figures
from reports.data.results import Results
from reports.draw.chart import Cell, Panel, Table, name_cell, range_cell, value_cell
from reports.draw.labels import LABEL, label_ends
from reports.draw.style import INK, MUTED, Look, series
from reports.draw.svg import blank, drawing
from reports.language.metrics import Unit
from reports.language.metrics import metric as about_metric
from reports.language.words import counted, number, percent, shown


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


def against_sparsity(
    results: Results,
    metric: str,
    at: Mapping[str, Any],
    *,
    title: str,
    y_range: tuple[float, float] | None = None,
    level: tuple[float, str] | None = None,
    extra: Sequence[tuple[str, Mapping[str, Any]]] = (),
    width: int = 560,
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
    unit = about_metric(metric).unit
    with drawing():
        height = max(300, 120 + 15 * (len(drawn) + 3))
        axes = blank(width, height, left=58, right=8 + 6 * LABEL)
        labels = [draw_line(axes, line, flagged) for line in drawn]
        right = max(place(s) for line in drawn for s, _ in line.points)
        for name, dashes in zip(results.names(pruned=False), ((), (4, 2), (1, 1)), strict=False):
            figure = found.get(name)
            if figure is not None and figure.value is not None:
                axes.axhline(figure.value, color=INK, linewidth=1.1, dashes=dashes or (None, None))
                if not dashes and figure.low is not None and figure.high is not None:
                    axes.axhspan(figure.low, figure.high, color=INK, alpha=0.07, linewidth=0)
                mark = " (ringed)" if name in flagged else ""
                labels.append((figure.value, shown(name, LABEL - len(mark)) + mark, INK))
        for name, conditions in extra:
            mean = _mean_line(results, metric, conditions)
            if mean:
                axes.plot(
                    [place(s) for s, _ in mean],
                    [v for _, v in mean],
                    color=MUTED,
                    linewidth=1,
                    dashes=(1.5, 2),
                )
                labels.append((mean[-1][1], name, MUTED))
        if level is not None:
            axes.axhline(level[0], color=MUTED, linewidth=1, dashes=(1, 2))
            labels.append((level[0], level[1], MUTED))
        sparsity_axis(axes, results, right)
        _values_axis(axes, unit, y_range)
        label_ends(axes, labels, right)
    return Panel(title, _alt(title, drawn, unit), axes.figure)


def draw_line(axes: Any, line: Line, flagged: Collection[str] = ()) -> tuple[float, str, str]:
    """One method: band or bars over the seeds, then the line; returns what its label needs.

    Points of variants in ``flagged`` get a ring.
    """
    x = [place(s) for s, _ in line.points]
    y = [f.value or 0.0 for _, f in line.points]
    low = [f.low if f.low is not None else v for (_, f), v in zip(line.points, y, strict=True)]
    high = [f.high if f.high is not None else v for (_, f), v in zip(line.points, y, strict=True)]
    if len(x) > 1:
        axes.fill_between(x, low, high, color=line.look.colour, alpha=0.14, linewidth=0)
    else:
        axes.vlines(x, low, high, color=line.look.colour, linewidth=1.2)
    axes.plot(
        x, y, color=line.look.colour, marker=line.look.marker, dashes=line.look.dashes or (None, None),
        markeredgewidth=0,
    )  # fmt: skip
    ring(axes, [(place(s), f.value or 0.0) for s, f in line.points if f.variant in flagged])
    return y[-1], shown(line.name, LABEL), line.look.colour


def ring(axes: Any, points: Sequence[tuple[float, float]]) -> None:
    """A ring around each point: its figure is in doubt."""
    if points:
        axes.plot(
            [x for x, _ in points], [y for _, y in points], linestyle="none", marker="o", markersize=11,
            markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1.1,
        )  # fmt: skip


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


def sparsity_axis(axes: Any, results: Results, right: float) -> None:
    """The axis of sparsities, up to ``right`` (see :func:`place`), with a tick at each that was asked for."""
    from matplotlib.ticker import FixedFormatter, FixedLocator

    wanted = {variant.strength for variant in results.made.values() if variant.pruned}
    ticks: list[float] = []
    for sparsity in sorted((s for s in wanted if s is not None), reverse=True):
        if all(place(kept) - place(sparsity) > 0.08 * max(right, 0.1) for kept in ticks):
            ticks.append(sparsity)
    axes.xaxis.set_major_locator(FixedLocator([place(s) for s in ticks]))
    axes.xaxis.set_major_formatter(FixedFormatter([percent(s) for s in ticks]))
    left = min((place(s) for s in ticks), default=0.0)
    pad = 0.04 * max(right - left, 0.2)
    axes.set_xlim(min(left, right) - pad, right + pad)
    axes.set_xlabel("Sparsity (log scale of compression)")
    axes.grid(visible=False, axis="x")


def _values_axis(axes: Any, unit: Unit, y_range: tuple[float, float] | None) -> None:
    from matplotlib.ticker import MaxNLocator

    if y_range is not None:
        axes.set_ylim(*y_range)
    axes.yaxis.set_major_formatter(lambda value, _: tick(value, unit))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6))


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
