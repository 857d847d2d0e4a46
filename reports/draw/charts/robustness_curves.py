"""Robust accuracy against ε: one panel per method, one curve per sparsity, the same axes in all."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from reports.data.aggregate import Figure, over_seeds
from reports.data.results import Results
from reports.draw.chart import Chart, Panel, Table, name_cell, value_cell
from reports.draw.plots import doubtful, ring
from reports.draw.style import INK, Look, step
from reports.draw.svg import blank, drawing
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
        panels.append(_panel(shown(name, 60) + suffix, drawn, furthest, flagged, AXES.get(norm, "ε")))
    return panels


def _panel(
    title: str,
    curves: Sequence[tuple[str, Curve, Look]],
    furthest: float,
    flagged: Collection[str],
    axis: str,
) -> Panel:
    with drawing():
        axes = blank(360, 260, left=44, right=10)
        said = [f"{label}: {_draw(axes, curve, look)}" for label, curve, look in curves]
        ends = [max(curve.items()) for _, curve, _ in curves if curve]
        ring(axes, [(eps, f.value) for eps, f in ends if f.variant in flagged and f.value is not None])
        axes.set_xlim(0, furthest * 1.03 or 1)
        axes.set_ylim(0, 1.03)
        axes.locator_params(axis="x", nbins=5)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.4g}")
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
        axes.set_xlabel(axis)
    alt = f"Line chart. {title}. {'; '.join(said[:8])}. The table below holds every point."
    return Panel(title, alt, axes.figure)


def _draw(axes: Any, curve: Curve, look: Look) -> str:
    """One curve with its band; returns its end in words."""
    points = [(eps, f, f.value) for eps, f in sorted(curve.items()) if f.value is not None]
    eps = [p[0] for p in points]
    low = [value if f.low is None else f.low for _, f, value in points]
    high = [value if f.high is None else f.high for _, f, value in points]
    axes.fill_between(eps, low, high, color=look.colour, alpha=0.1, linewidth=0)
    axes.plot(
        eps, [value for _, _, value in points], color=look.colour, dashes=look.dashes or (None, None),
        marker=look.marker, markersize=4, markeredgewidth=0, linewidth=1.5,
    )  # fmt: skip
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
