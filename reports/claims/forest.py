"""The forest plot of a figure: its settings one under another, each with its interval, the whole last."""

from collections.abc import Sequence

from reports.claims.pool import WHOLE, Pooled
from reports.claims.words import effect
from reports.draw.chart import Panel
from reports.draw.style import INK, MUTED, RULE, SERIES, Look
from reports.draw.svg import Axis, Plot, ticks
from reports.language.words import change, shown

ROW, LEFT, WIDTH = 19, 246, 640
LABEL = 40
"""Characters of a setting's name that fit beside the plot."""
HEADS = {
    "subject": "By subject",
    "data": "By data",
    "architecture": "By architecture",
    "defence": "By training",
    "kind": "By what goes",
    "hardness": "By hardness",
    "schedule": "By schedule",
    "sparsity": "By sparsity",
    "part": "By attack or reading",
}


def forest(pooled: Sequence[Pooled]) -> Panel | None:
    """All settings of one facet; the region in which the claim holds is shaded. None without any."""
    if not pooled:
        return None
    whole, levels = pooled[0], pooled[1:]
    rows: list[Pooled | str] = []
    for one in levels:
        head = HEADS.get(one.factor, one.factor)
        if head not in rows:
            rows.append(head)
        rows.append(one)
    rows.append(whole)
    axis = _axis(pooled)
    height = 24 + ROW * len(rows) + 44
    plot = Plot(WIDTH, height, axis, Axis(0, 1), left=LEFT, right=14, top=12)
    region = whole.facet.region
    low, high = max(region.low, axis.low), min(region.high, axis.high)
    if low < high:
        plot.box(
            plot.px(low), plot.top, plot.px(high) - plot.px(low), plot.bottom - plot.top, SERIES[0], 0.09
        )
    plot.ticks_x(
        [(v, _tick(v, whole)) for v in ticks(axis.low, axis.high, 5)],
        f"Change in {whole.facet.name}" + (" (points)" if whole.facet.unit == "share" else ""),
        grid=True,
    )
    plot.path([(plot.px(0), plot.top), (plot.px(0), plot.bottom)], INK, 0.9)
    for limit in region.limits:
        plot.path([(plot.px(limit), plot.top), (plot.px(limit), plot.bottom)], SERIES[0], 1.3, (3, 2))
    for i, row in enumerate(rows):
        y = plot.top + 12 + ROW * (i + 0.5)
        if isinstance(row, str):
            plot.text(4, y + 4, row, colour=MUTED)
        else:
            _row(plot, row, y)
    return Panel(whole.facet.name, _alt(whole, levels), plot)


def _row(plot: Plot, one: Pooled, y: float) -> None:
    total = one.factor == WHOLE
    if total:
        plot.path([(4, y - ROW / 2), (plot.right, y - ROW / 2)], RULE, 0.8)
    name = "All together" if total else one.level
    plot.text(LEFT - 10, y + 4, shown(name, LABEL), anchor="end")
    height = (plot.bottom - y) / (plot.bottom - plot.top)
    low, high = (min(max(end, plot.x.low), plot.x.high) for end in one.effect.ends())
    if one.effect.known:
        plot.path([(plot.px(low), y), (plot.px(high), y)], INK, 2.2 if total else 1.3)
    look = Look(INK, (), "D" if total else "s")
    said = f"{name}: {effect(one)}"
    plot.mark(one.effect.value, height, look, said, size=4.6 if total else 3.2, hollow=not one.effect.known)


def _axis(pooled: Sequence[Pooled]) -> Axis:
    """Wide enough for every value and limit, and for intervals up to as much again on both sides."""
    core = [0.0, *pooled[0].facet.region.limits, *(one.effect.value for one in pooled)]
    span = max(max(core) - min(core), 1e-6)
    ends = [end for one in pooled for end in one.effect.ends()]
    low = max(min([*core, *ends]), min(core) - span)
    high = min(max([*core, *ends]), max(core) + span)
    return Axis(low - 0.04 * span, high + 0.04 * span)


def _tick(value: float, whole: Pooled) -> str:
    text = change(value, whole.facet.unit).removesuffix(" points")
    return text.removesuffix(".0") if whole.facet.unit == "share" else text


def _alt(whole: Pooled, levels: Sequence[Pooled]) -> str:
    told = [f"{one.name} {effect(one)}" for one in levels]
    return f"Change in {whole.facet.name}: {effect(whole)}. {'; '.join(told)}"
