"""The health of the attacks: a cross for each sign of failure that a variant shows; no picture of none."""

import math

from reports.data.health import Flag, flags, healths, sentence, title
from reports.data.results import Results
from reports.draw.chart import Cell, Chart, Panel, Table, name_cell
from reports.draw.plots import numbers
from reports.draw.style import MUTED, RULE, STEPS, Look
from reports.draw.svg import Axis, Plot
from reports.language.words import DASH, conditions, counted, listing, number, shown

TITLE = "Health of the attacks"
SECTION = "evasion"
ORDER = 30

MOST = 18
"""Variants in doubt that are drawn; the table has all."""
RAISED, FINE = Look(STEPS[5], (), "X"), Look(MUTED, (), "o")


def draw(results: Results) -> Chart | None:
    """One panel per norm with a raised flag: the checks and the variants that it concerns."""
    known = flags(results)
    if not known:
        return None
    norms = list(dict.fromkeys(flag.norm for flag in known if flag.raised))
    panels = [_panel(results, norm, [flag for flag in known if flag.norm == norm]) for norm in norms]
    return Chart(_caption(results, known), tuple(panels), _table(results, known))


def _caption(results: Results, known: list[Flag]) -> str:
    told = (
        "Robust accuracy is an upper bound: where attacks fail for reasons of their own, it flatters. Each "
        "check looks for a known sign of such failure; a cross marks a model that shows it. "
    )
    doubt: dict[tuple[str, str], list[Flag]] = {}
    for flag in known:
        if flag.raised:
            doubt.setdefault((flag.variant, flag.norm), []).append(flag)
    if not doubt:
        open_ = {variant for (variant, _), one in healths(results).items() if one.unchecked}
        if open_:
            return f"{told}In {counted(len(open_), 'variant')} checks failed, or were never made."
        checks = len({flag.name for flag in known if not math.isnan(flag.value)})
        models = len({(flag.variant, flag.seed) for flag in known})
        return f"{told}Of {counted(checks, 'check')} of {counted(models, 'model')} none does."
    (variant, norm), first = next(iter(doubt.items()))
    where = conditions({"norm": norm})
    return (
        f"{told}{counted(len(doubt), 'figure')} in doubt, and attacked again with a cure, whose figure "
        f"counts in the worst case. First {shown(variant, 60)} ({where}): {sentence(first)}"
    )


def _panel(results: Results, norm: str, known: list[Flag]) -> Panel:
    signs = [flag for flag in known if flag.raised]
    names = list(dict.fromkeys(flag.name for flag in signs))
    doubtful = {flag.variant for flag in signs}
    present = [v for v in results.names() if v in doubtful][:MOST]
    columns = max(len(present), 8)
    x, y = Axis(-0.6, columns - 0.4), Axis(len(names) - 0.4, -0.6)
    plot = Plot(250 + 22 * columns, 156 + 20 * len(names), x, y, left=236, right=14, top=8, bottom=148)
    for row, name in enumerate(names):
        plot.path([(plot.left, plot.py(row)), (plot.right, plot.py(row))], RULE, 0.6)
        plot.text(plot.left - 6, plot.py(row) + 4, title(name), anchor="end", colour=MUTED)
    for column, variant in enumerate(present):
        mine = [numbers(results)[variant]]
        spot = plot.px(column) + 4, plot.bottom + 8
        plot.text(*spot, shown(variant, 24), anchor="end", colour=MUTED, turned=True, variants=mine)
        for row, name in enumerate(names):
            state = _state(known, variant, name)
            said = f"{shown(variant, 60)}: {title(name)}"
            if state == "raised":
                plot.mark(column, row, RAISED, said, size=4.4, variants=mine)
            elif state == "fine":
                plot.mark(column, row, FINE, f"{said}: not found", size=1.8, variants=mine)
    raised = [f"{shown(f.variant, 40)}: {title(f.name)}" for f in signs]
    said = listing(list(dict.fromkeys(raised))[:8])
    where = conditions({"norm": norm})
    alt = f"Grid of checks by variants, {where}. Crossed: {said}. The table below holds every value."
    return Panel(f"Signs of failing attacks, {where}", alt, plot)


def _state(known: list[Flag], variant: str, name: str) -> str:
    mine = [flag for flag in known if flag.variant == variant and flag.name == name]
    if any(flag.raised for flag in mine):
        return "raised"
    return "fine" if any(not math.isnan(flag.value) for flag in mine) else "unchecked"


def _table(results: Results, known: list[Flag]) -> Table:
    """One row per variant and norm: the share of examples with each sign, in the seed that has it most."""
    names = list(dict.fromkeys(flag.name for flag in known))
    rows = []
    for variant in results.names():
        for norm in dict.fromkeys(flag.norm for flag in known if flag.variant == variant):
            mine = [flag for flag in known if (flag.variant, flag.norm) == (variant, norm)]
            cells = tuple(_cell([flag for flag in mine if flag.name == name]) for name in names)
            rows.append((name_cell(variant), Cell(conditions({"norm": norm})), *cells))
    return Table(TITLE, ("Variant", "Norm", *(title(name) for name in names)), tuple(rows))


def _cell(mine: list[Flag]) -> Cell:
    measured = [flag for flag in mine if not math.isnan(flag.value)]
    if not measured:
        return Cell(mine[0].status.replace("_", " ") if mine else DASH)
    worst = max(measured, key=lambda flag: flag.value - flag.limit)
    text = number(worst.value, "share")
    return Cell(f"{text} (in doubt)" if worst.raised else text, worst.value)
