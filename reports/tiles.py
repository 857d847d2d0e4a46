"""The four tiles of the first screen: dense beside the most telling pruned variant."""

from dataclasses import dataclass

from reports.aggregate import Figure, figures
from reports.analysis import Analysis
from reports.chart import Cell, range_cell, value_cell
from reports.compare import Comparison
from reports.key import Key, method_title
from reports.metrics import metric as about_metric
from reports.words import DASH, attack, change, change_span


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of a tile: dense, the pruned variant, and the change (empty without a pruned variant)."""

    label: str
    dense: Cell
    dense_range: Cell
    pruned: Cell | None
    pruned_range: Cell | None
    change: str
    verdict: str
    """``worse``, ``better``, the same with ``, uncorrected``, ``not told apart`` or empty."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One attack family, or what pruning saves."""

    title: str
    lines: tuple[Line, ...]
    note: str


def tiles(analysis: Analysis) -> list[Tile]:
    """Evasion, membership, extraction, and size and speed; a family that was not measured says so."""
    found = []
    for title, families in (
        ("Accuracy under attack", ("accuracy", "evasion")),
        ("Membership leakage", ("membership",)),
        ("Model extraction", ("extraction",)),
    ):
        chosen = [key for key in analysis.keys if key.family in families]
        note = "" if any(key.family == families[-1] for key in chosen) else "Not measured in this run."
        found.append(Tile(title, tuple(_line(analysis, key) for key in chosen), note or _note(chosen)))
    costs = tuple(
        line for name in ("bytes", "nonzero_parameters", "latency") if (line := _cost(analysis, name))
    )
    found.append(Tile("Size and speed", costs, "" if costs else "Not measured in this run."))
    return found


def heading(analysis: Analysis) -> str:
    """What the tiles compare."""
    if analysis.telling is None:
        return "The model as it is"
    return f"Dense and {method_title(analysis.results, analysis.telling)}"


def _note(chosen: list[Key]) -> str:
    key = chosen[-1]
    if key.family == "membership":
        return f"AUC of the {attack(key.at['attack'])}; 0.5 is guessing."
    return {"evasion": "Worst case over all attacks.", "extraction": f"{attack(key.at['attack'])}."}.get(
        key.family, ""
    )


def _line(analysis: Analysis, key: Key) -> Line:
    by = analysis.figures[key.metric]
    ours = by.get(analysis.telling) if analysis.telling else None
    comparison = analysis.against_dense[key.metric].get(analysis.telling) if analysis.telling else None
    label = key.label[0].upper() + key.label[1:]
    changed, verdict = change_of(key.metric, comparison)
    return Line(
        label,
        value_cell(by.get("dense")),
        range_cell(by.get("dense")),
        value_cell(ours) if analysis.telling else None,
        range_cell(ours) if analysis.telling else None,
        changed,
        verdict,
    )


def change_of(metric: str, comparison: Comparison | None) -> tuple[str, str]:
    """A paired difference with its interval, and its verdict in words; empty where there is none."""
    if comparison is None:
        return "", ""
    unit, pooled = about_metric(metric).unit, comparison.pooled
    text = f"{change(pooled.value, unit)} ({change_span(pooled.low, pooled.high, unit)})"
    if comparison.direction != "same":
        return text, comparison.direction
    return text, "not told apart" if comparison.leans == "same" else f"{comparison.leans}, uncorrected"


def _cost(analysis: Analysis, name: str) -> Line | None:
    by: dict[str, Figure] = figures(analysis.results, name, {})
    dense, ours = by.get("dense"), by.get(analysis.telling or "")
    if dense is None:
        return None
    ratio = ""
    if ours is not None and ours.value and dense.value:
        times = dense.value / ours.value
        what = {"latency": ("faster", "slower")}.get(name, ("smaller", "larger"))
        ratio = f"{times:.2g}× {what[0]}" if times >= 1.05 else f"{1 / times:.2g}× {what[1]}"
        if 1 / 1.05 < times < 1.05:
            ratio = "the same within 5%"
    known = ours is not None or analysis.telling is not None
    return Line(
        about_metric(name).title,
        value_cell(dense),
        Cell(DASH),
        value_cell(ours) if known else None,
        Cell(DASH) if known else None,
        ratio,
        "",
    )
