"""The ROC curve of the strongest membership attack, both axes logarithmic, with what guessing would give."""

import numpy as np
from numpy.typing import NDArray

from reports.data.exposure import Evidence, evidence, null_band, roc
from reports.data.key import membership
from reports.data.results import Results
from reports.draw.chart import Cell, Chart, Panel, Table, name_cell
from reports.draw.plots import means, methods, numbers
from reports.draw.style import INK, MUTED, Look, series
from reports.draw.svg import Axis, Plot
from reports.language import words
from reports.language.words import number, percent

TITLE = "Members found against others accused"
SECTION = "membership"
ORDER = 20

POINTS = 60
"""Places along the horizontal axis where a curve is read."""


def draw(results: Results) -> Chart | None:
    """One panel: dense, and each method at its strongest; mean over seeds."""
    key = membership(results)
    seen = evidence(results, key.at) if key is not None else {}
    shown = _drawn(results, seen)
    if key is None or not shown or not any(results.made[name].pruned for name in shown):
        return None
    first = next(iter(seen[shown[0]].values()))
    members = int(first["member"].sum())
    others = len(first["member"]) - members
    ranks = np.unique(np.geomspace(1, others, POINTS).round().astype(np.int64))
    curves = {name: np.mean([_at(e, ranks) for e in seen[name].values()], axis=0) for name in shown}
    attack = words.attack(key.at["attack"])
    caption = (
        f"What share of the members the {attack} finds, by the share of others that it accuses; both axes "
        "are logarithmic, so that the left shows an attacker who must be nearly sure. Grey: where 95% of "
        "guessing attackers lie, at each place by itself. A curve that meets the lower edge finds no member "
        f"there. {means(results)}"
    )
    looks = {name: _look(results, name) for name in shown}
    return Chart(
        caption,
        (_panel(results, curves, looks, ranks, members, others, attack),),
        _table(curves, ranks, others),
        tuple(looks.items()),
    )


def _at(seen: Evidence, ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    """True-positive rates where so many non-members pass; where there are fewer of them, at the last."""
    _, true = roc(seen)
    return np.asarray(true[np.minimum(ranks, len(true)) - 1], dtype=np.float64)


def _drawn(results: Results, seen: dict[str, dict[int, Evidence]]) -> list[str]:
    """Dense, and of each method the variant with the highest sparsity."""
    strongest = {results.made[name].series: name for name in results.names(pruned=True) if name in seen}
    return [name for name in ("dense",) if name in seen] + list(strongest.values())[:8]


def _look(results: Results, name: str) -> Look:
    return series(methods(results).index(results.made[name].series)) if name != "dense" else Look(INK, (), "")


def _panel(
    results: Results,
    curves: dict[str, NDArray[np.float64]],
    looks: dict[str, Look],
    ranks: NDArray[np.int64],
    members: int,
    others: int,
    attack: str,
) -> Panel:
    least = min(1 / members, 1 / others) / 1.5
    plot = Plot(520, 330, Axis(1 / others, 1.0, log=True), Axis(least, 1.0, log=True), left=52, right=16)
    named = [(v, percent(v)) for v in (0.0001, 0.001, 0.01, 0.1, 1.0)]
    plot.ticks_y([(v, text) for v, text in named if v >= least])
    plot.ticks_x([(v, text) for v, text in named if v >= 1 / others], "Others accused", grid=True)
    low, high = np.maximum(null_band(members, others, ranks), least)
    places = ranks / others
    plot.band(list(zip(places.tolist(), low.tolist(), high.tolist(), strict=True)), MUTED, 0.25)
    for name, curve in curves.items():
        points = list(zip(places.tolist(), np.maximum(curve, least).tolist(), strict=True))
        plot.line(points, looks[name], variants=[numbers(results)[name]])
    alt = (
        f"Curves of the {attack}: share of members found against share of others accused, for "
        f"{', '.join(curves)}. The table below holds the values at 0.1, 1 and 10% of others accused."
    )
    return Panel(f"ROC of the {attack}, logarithmic", alt, plot)


def _table(curves: dict[str, NDArray[np.float64]], ranks: NDArray[np.int64], others: int) -> Table:
    """What is found where at most 0.1, 1 and 10% of the others are accused."""
    rates = [rate for rate in (0.001, 0.01, 0.1) if rate * others >= 1]
    heads = tuple(f"Found where {percent(rate)} of the others are accused" for rate in rates)
    rows = []
    for name, curve in curves.items():
        cells = [name_cell(name)]
        for rate in rates:
            value = float(curve[np.flatnonzero(ranks <= rate * others)[-1]])
            cells.append(Cell(number(value, "share"), value))
        rows.append(tuple(cells))
    return Table(TITLE, ("Variant", *heads), tuple(rows))
