"""Robust accuracy against ε: one panel per method, one curve per sparsity, the same axes in all."""

from collections.abc import Collection, Mapping, Sequence

from reports.data.aggregate import Figure, over_seeds
from reports.data.results import Results
from reports.draw.chart import Chart, Panel, Table, name_cell, value_cell
from reports.draw.plots import doubtful, numbers, told
from reports.draw.style import INK, Look, step
from reports.draw.svg import Axis, Plot, ticks
from reports.language import words
from reports.language.words import counted, number, percent, shown

TITLE = "Robust accuracy against ε"
SECTION = "evasion"
ORDER = 10

Curve = Mapping[float, Figure]
AXES = {"linf": "ε (largest change of an input value)", "l2": "ε (L2 norm of the change)"}
DENSE = Look(INK, (), "")


def draw(results: Results) -> Chart | None:
    """One panel for each method (and norm), with dense in each."""
    curves = _curves(results)
    if not curves:
        return None
    strengths = sorted({s for v in results.made.values() if v.pruned and (s := v.strength) is not None})
    looks = {strength: step(i, len(strengths)) for i, strength in enumerate(strengths)}
    panels = [panel for norm in curves for panel in _panels(results, norm, curves, looks)]
    caption = (
        "How much accuracy is left when an attacker may change the input by up to ε (worst case over all "
        "attacks; ε = 0 is clean accuracy). The higher the curve, the sturdier the model; a curve under that "
        f"of dense shows what pruning cost. {_band(results)}"
    )
    if any(doubtful(results, norm) for norm in curves):
        caption += (
            " Ringed ends: attacks on that model show signs of failure; it may be less robust than that."
        )
    legend = [("dense", DENSE), *((percent(strength), look) for strength, look in looks.items())]
    return Chart(caption, tuple(panels), _table(results, curves), tuple(legend))


def _band(results: Results) -> str:
    if results.seeds > 1:
        return f"Curves are means over {counted(results.seeds, 'training seed')}; bands span the seeds."
    return "One training seed."


def _curves(results: Results) -> dict[str, dict[str, dict[float, Figure]]]:
    """By norm, variant and ε; clean accuracy is ε = 0."""
    curves: dict[str, dict[str, dict[float, Figure]]] = {}
    for figure in over_seeds(results.select("robust_accuracy", {"attack": "worst_case"})):
        if figure.variant in results.made:
            by = curves.setdefault(str(figure.at["norm"]), {}).setdefault(figure.variant, {})
            by[float(figure.at["eps"])] = figure
    for figure in over_seeds(results.select("accuracy", {"split": "test"})):
        for variants in curves.values():
            if figure.variant in variants:
                variants[figure.variant].setdefault(0.0, figure)
    order = sorted(curves, key=lambda norm: (norm != "linf", norm))
    return {norm: curves[norm] for norm in order}


def _panels(
    results: Results, norm: str, curves: Mapping[str, Mapping[str, Curve]], looks: Mapping[float, Look]
) -> list[Panel]:
    mine = curves[norm]
    groups: dict[str, list[str]] = {}
    for variant in results.names(pruned=True):
        if variant in mine:
            groups.setdefault(results.made[variant].series, []).append(variant)
    furthest = max(eps for curve in mine.values() for eps in curve)
    suffix = f", {words.conditions({'norm': norm})}" if len(curves) > 1 else ""
    flagged = doubtful(results, norm)
    panels = []
    for name, variants in (groups or {"dense": []}).items():
        drawn = [("dense", mine["dense"], DENSE)] if "dense" in mine else []
        for variant in variants:
            strength = results.made[variant].strength
            look = step(0, 1) if strength is None else looks[strength]
            drawn.append((percent(strength), mine[variant], look))
        title = shown(name, 60) + suffix
        panels.append(_panel(results, title, drawn, furthest, flagged, AXES.get(norm, "ε")))
    return panels


def _panel(
    results: Results,
    title: str,
    curves: Sequence[tuple[str, Curve, Look]],
    furthest: float,
    flagged: Collection[str],
    axis: str,
) -> Panel:
    plot = Plot(344, 250, Axis(0, furthest * 1.03 or 1), Axis(0, 1.03), left=44, right=10)
    plot.ticks_y([(v, f"{100 * v:.0f}%") for v in ticks(0, 1)])
    plot.ticks_x([(v, f"{v:.4g}") for v in ticks(0, plot.x.high, 5)], axis)
    said = [f"{label}: {_draw(plot, results, curve, look)}" for label, curve, look in curves]
    for eps, figure in (max(curve.items()) for _, curve, _ in curves if curve):
        if figure.variant in flagged and figure.value is not None:
            plot.ring(eps, figure.value)
    alt = f"Line chart. {title}. {'; '.join(said[:8])}. The table below holds every point."
    return Panel(title, alt, plot)


def _draw(plot: Plot, results: Results, curve: Curve, look: Look) -> str:
    """One curve with its band; returns its end in words."""
    points = [(eps, f, f.value) for eps, f in sorted(curve.items()) if f.value is not None]
    mine = sorted({numbers(results)[f.variant] for _, f, _ in points})
    ends = [(e, v if f.low is None else f.low, v if f.high is None else f.high) for e, f, v in points]
    if points:
        plot.band(ends, look.colour, 0.1, mine)
        plot.line([(e, v) for e, _, v in points], look, width=1.5, variants=mine)
    for eps, figure, value in points:
        said = f"ε = {eps:.4g}, {told(results, figure)}"
        plot.mark(eps, value, look, said, size=2.2 if look.marker else 1.6, variants=mine)
    return ", ".join(
        f"{number(value, 'share')} at ε = {e:.4g}" for e, _, value in points[:: max(1, len(points) - 1)]
    )


def _table(results: Results, curves: Mapping[str, Mapping[str, Curve]]) -> Table:
    everything = sorted({eps for by in curves.values() for curve in by.values() for eps in curve})
    rows = []
    for norm, by in curves.items():
        for variant, curve in by.items():
            label = f"{variant}, {words.conditions({'norm': norm})}" if len(curves) > 1 else variant
            rows.append((name_cell(label), *(value_cell(curve.get(eps)) for eps in everything)))
    caption = f"{TITLE}, worst case, mean over {counted(results.seeds, 'seed')}"
    return Table(caption, ("Variant", *(f"ε = {eps:.4g}" for eps in everything)), tuple(rows))
