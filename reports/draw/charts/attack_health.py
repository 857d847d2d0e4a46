"""The health of the attacks: one dot per check and variant, a cross where it shows a sign of failure."""

import math

from reports.data.health import Flag, flags, healths, sentence, title
from reports.data.results import Results
from reports.draw.chart import Cell, Chart, Panel, Table, name_cell
from reports.draw.style import MUTED, STEPS
from reports.draw.svg import blank, drawing
from reports.language.words import DASH, conditions, counted, listing, number, shown

TITLE = "Health of the attacks"
SECTION = "evasion"
ORDER = 30

MOST = 24
"""Variants drawn; of more, those in doubt come first. The table has all."""
RAISED = STEPS[5]


def draw(results: Results) -> Chart | None:
    """One panel per norm: checks by variants."""
    known = flags(results)
    if not known:
        return None
    norms = list(dict.fromkeys(flag.norm for flag in known))
    panels = [_panel(results, norm, [flag for flag in known if flag.norm == norm]) for norm in norms]
    return Chart(_caption(results, known), tuple(panels), _table(results, known))


def _caption(results: Results, known: list[Flag]) -> str:
    told = (
        "Robust accuracy is an upper bound: where attacks fail for reasons of their own, it flatters. Each "
        "row is a known sign of such failure; a cross marks a model that shows it. "
    )
    doubt: dict[tuple[str, str], list[Flag]] = {}
    for flag in known:
        if flag.raised:
            doubt.setdefault((flag.variant, flag.norm), []).append(flag)
    if not doubt:
        open_ = {variant for (variant, _), one in healths(results).items() if one.unchecked}
        if open_:
            return f"{told}In {counted(len(open_), 'variant')} checks failed, or were never made."
        return told + "Here none does."
    (variant, norm), first = next(iter(doubt.items()))
    where = conditions({"norm": norm})
    return (
        f"{told}{counted(len(doubt), 'figure')} in doubt, and attacked again with a cure, whose figure "
        f"counts in the worst case. First {shown(variant, 60)} ({where}): {sentence(first)}"
    )


def _panel(results: Results, norm: str, known: list[Flag]) -> Panel:
    names = list(dict.fromkeys(flag.name for flag in known))
    doubtful = {flag.variant for flag in known if flag.raised}
    present = [v for v in results.names() if any(flag.variant == v for flag in known)]
    if len(present) > MOST:
        keep = sorted(present, key=lambda v: v not in doubtful)[:MOST]
        present = [v for v in present if v in keep]
    width, height = 250 + 22 * max(len(present), 8), 150 + 20 * len(names)
    with drawing():
        axes = blank(width, height, left=236, right=14, top=8, bottom=142)
        for state, look in (
            ("fine", {"marker": "o", "color": MUTED, "s": 12, "linewidths": 0}),
            ("raised", {"marker": "X", "color": RAISED, "s": 60, "linewidths": 0}),
        ):
            spots = [
                (x, y)
                for x, variant in enumerate(present)
                for y, name in enumerate(names)
                if _state(known, variant, name) == state
            ]
            if spots:
                axes.scatter(*zip(*spots, strict=True), **look)
        axes.set_xticks(range(len(present)), [shown(v, 24) for v in present])
        axes.tick_params(axis="x", labelrotation=90)
        axes.set_yticks(range(len(names)), [title(name) for name in names])
        axes.set(xlim=(-0.6, max(len(present), 8) - 0.4), ylim=(len(names) - 0.4, -0.6))
    raised = [f"{shown(f.variant, 40)}: {title(f.name)}" for f in known if f.raised]
    said = listing(list(dict.fromkeys(raised))[:8]) if raised else "no check that was made shows any sign"
    where = conditions({"norm": norm})
    alt = f"Grid of checks by variants, {where}. Crossed: {said}. The table below holds every value."
    return Panel(f"Signs of failing attacks, {where}", alt, axes.figure)


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
