"""The key figures against sparsity as one picture, for slides and papers."""

import io
from typing import Any

from reports.data import health
from reports.data.aggregate import Figure, figures
from reports.data.key import Key, clean, collapsed, extraction, membership, robust
from reports.data.results import Results
from reports.gate.judge import Verdicts
from reports.language.words import shown

FILE = "figures.png"
WIDTH, HEIGHT, DPI = 9.0, 6.5, 200
"""Inches, and dots an inch."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe & Ito's, told apart by colour-blind eyes."""
DASHES, MARKERS = ("-", "--", ":", "-."), "os^DvPX"
NAME = 60
"""Characters of a method's name at most."""


def render(results: Results, verdicts: Verdicts | None = None, baseline: Results | None = None) -> bytes:
    """A PNG: a panel for each family that was measured, a line for each method, means over seeds and their
    range. Hollow: attack health in doubt, or the model near chance, so that the figure does not stand.
    """
    from matplotlib.backends.backend_agg import (
        FigureCanvasAgg,
    )  # they take a second, and only this needs them
    from matplotlib.figure import Figure as Canvas

    del verdicts, baseline
    keys = [key for key in (clean(results), robust(results), membership(results), extraction(results)) if key]
    canvas = Canvas(figsize=(WIDTH, HEIGHT), layout="constrained")
    FigureCanvasAgg(canvas)
    grid = list(canvas.subplots(2, 2, squeeze=False).flat)
    for key, axes in zip(keys, grid, strict=False):
        _panel(axes, results, key)
    for axes in grid[len(keys) :]:
        axes.set_axis_off()
    if not keys:
        canvas.text(0.5, 0.5, "nothing was measured", ha="center")
    elif lines := grid[0].get_legend_handles_labels()[0]:
        canvas.legend(handles=lines, loc="outside lower center", ncols=min(4, len(lines)), fontsize="small")
    written = io.BytesIO()
    canvas.savefig(written, format="png", dpi=DPI, metadata={"Software": None})
    return written.getvalue()


def _panel(axes: Any, results: Results, key: Key) -> None:
    found = figures(results, key.metric, key.at)
    doubted = {v for v, where in health.raised(results) if where == key.at.get("norm")} | set(
        collapsed(results)
    )
    dense = found.get("dense")
    for place, (method, names) in enumerate(_methods(results).items()):
        points = [(0.0, dense)] if dense is not None else []
        points += [
            (results.made[name].achieved_sparsity or 0.0, found[name]) for name in names if name in found
        ]
        _line(axes, points, place, method, doubted)
    axes.set_title(shown(key.label, NAME), fontsize="medium", parse_math=False)
    axes.set_xlabel("sparsity")
    axes.grid(alpha=0.3)


def _line(axes: Any, points: list[tuple[float, Figure]], place: int, method: str, doubted: set[str]) -> None:
    known = sorted(((s, f) for s, f in points if f.value is not None), key=lambda point: point[0])
    look = {"color": COLOURS[place % len(COLOURS)], "linestyle": DASHES[place % len(DASHES)]}
    marker = MARKERS[place % len(MARKERS)]
    axes.plot([s for s, _ in known], [f.value for _, f in known], label=_label(method), marker=marker, **look)
    for sparsity, figure in known:
        if figure.low is not None and figure.high is not None:
            axes.vlines(sparsity, figure.low, figure.high, colors=look["color"], alpha=0.6)
        if figure.variant in doubted:
            axes.plot(sparsity, figure.value, marker=marker, color=look["color"], markerfacecolor="white")


def _label(method: str) -> str:
    """A method's name as text: a dollar would begin a formula, an underscore hide the line from a legend."""
    text = shown(method, NAME).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def _methods(results: Results) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in results.names(pruned=True):
        found.setdefault(results.made[name].series, []).append(name)
    return found or {"dense": []}
