"""Which attack broke what: of every model's examples, what each attack broke that those before it had not."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.data.key import method_title, robust
from reports.data.ledger import unpack
from reports.data.results import Results
from reports.draw.chart import Cell, Chart, Panel, Table, name_cell
from reports.draw.plots import means, numbers
from reports.draw.style import MUTED, RULE, Look, step
from reports.draw.svg import Axis, Plot
from reports.language import words
from reports.language.words import number, percent, shown

TITLE = "Which attack broke what"
SECTION = "evasion"
ORDER = 25

MOST = 24
"""Variants drawn; the table has all."""
ERRORS = Look(RULE, (), "s")


def draw(results: Results) -> Chart | None:
    """One bar per variant at the ε that stands for the run; None where fewer than two attacks ran."""
    key = robust(results)
    if key is None:
        return None
    at = {name: value for name, value in key.at.items() if name != "attack"}
    standing = _standing(results, at)
    errors = _correct(results, "accuracy", {"split": "test"})
    attacks = sorted(standing, key=lambda a: -float(np.mean([v.mean() for v in standing[a].values()])))
    pairs = {pair for a in attacks for pair in standing[a]} & errors.keys()
    shares: dict[str, list[NDArray[np.float64]]] = {}
    for variant, seed in sorted(pairs, key=lambda pair: (results.names().index(pair[0]), pair[1])):
        left = errors[variant, seed]
        parts = [1 - left.mean()]
        for attack in attacks:
            found = standing[attack].get((variant, seed))
            after = left if found is None or found.shape != left.shape else left & found
            parts.append(left.mean() - after.mean())
            left = after
        shares.setdefault(variant, []).append(np.asarray([*parts, left.mean()]))
    if len(attacks) < 2 or not shares:
        return None
    mean = {variant: np.mean(rows, axis=0) for variant, rows in shares.items()}
    looks = [Look(step(i, len(attacks)).colour, (), "s") for i in range(len(attacks))]
    legend = (
        ("wrong unattacked", ERRORS),
        *((words.attack(a), look) for a, look in zip(attacks, looks, strict=True)),
    )
    where = words.conditions(at)
    caption = (
        f"At {where}, of all test examples: wrong before any attack, then what each attack broke that those "
        "before it in the bar had not, weakest first. An attack far right with a wide part finds what others "
        f"miss; without it, the model would look that much sturdier. {means(results)}"
    )
    heads = ("Variant", "Wrong unattacked", *(words.attack(a) for a in attacks), "Left standing")
    rows = tuple(
        (name_cell(variant), *(Cell(number(float(v), "share"), float(v)) for v in parts))
        for variant, parts in mean.items()
    )
    panel = _panel(results, mean, [ERRORS, *looks], where)
    return Chart(caption, (panel,), Table(f"{TITLE}, {where}", heads, rows), legend)


def _standing(results: Results, at: Mapping[str, Any]) -> dict[str, dict[tuple[str, int], NDArray[np.bool_]]]:
    """By attack, then variant and seed: which examples it left standing."""
    rows = results.select("robust_accuracy", at)
    names = {str(c["attack"]) for c in rows["conditions"] if "attack" in c} - {"worst_case"}
    return {name: _correct(results, "robust_accuracy", {**at, "attack": name}) for name in sorted(names)}


def _correct(
    results: Results, metric: str, at: Mapping[str, Any]
) -> dict[tuple[str, int], NDArray[np.bool_]]:
    found = {}
    for row in results.select(metric, at).to_dict("records"):
        kept = unpack(row["outcomes"]) if isinstance(row["outcomes"], bytes) else None
        if kept and "correct" in kept and row["variant"] in results.made and len(kept["correct"]):
            found[str(row["variant"]), int(row["seed"])] = kept["correct"].astype(bool)
    return found


def _panel(results: Results, mean: Mapping[str, NDArray[np.float64]], looks: list[Look], where: str) -> Panel:
    drawn = list(mean)[:MOST]
    plot = Plot(560, 44 + 19 * len(drawn), Axis(0, 1), Axis(len(drawn), 0), left=168, right=16, top=4)
    plot.ticks_x([(v, percent(v)) for v in (0, 0.25, 0.5, 0.75, 1)], grid=True)
    for height, variant in enumerate(drawn):
        mine, start = [numbers(results)[variant]], 0.0
        name = method_title(results, variant)
        top = plot.py(height) + 3
        plot.text(plot.left - 6, top + 11, shown(name, 27), anchor="end", colour=MUTED, variants=mine)
        for look, share in zip(looks, mean[variant], strict=False):
            width = plot.px(start + float(share)) - plot.px(start)
            if width > 0:
                plot.box(plot.px(start), top, width, 14, look.colour, 1, variants=mine)
            start += float(share)
    alt = f"Stacked bars, one a variant, {where}: wrong unattacked, then broken by each attack in turn; the "
    return Panel(f"Broken in turn, {where}", alt + "table below holds every share.", plot)
