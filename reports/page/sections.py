"""One section for each attack family and each further probe of the run, as plain values for the template."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from reports.data import health
from reports.data.key import method_title
from reports.data.results import Results, probe_rank
from reports.draw.chart import Cell, Chart, Table
from reports.draw.charts import Entry, charts
from reports.draw.svg import swatch
from reports.families import families, probe_of
from reports.gate.judge import Verdicts
from reports.gate.status import MARKS, NOT_ASKED, Mark
from reports.language.metrics import metric as about_metric
from reports.language.words import number, shown
from reports.page.tables import measurement_table

_TITLES = {"cost": "Size and speed"}


@dataclass(frozen=True, slots=True)
class Drawn:
    """A chart as the page shows it: every panel an inline SVG under its title."""

    name: str
    title: str
    caption: str
    panels: tuple[tuple[str, Markup], ...]
    legend: tuple[tuple[str, Markup], ...]
    table: Table
    column: int
    """Width in pixels at which a panel was drawn."""
    named: bool
    """Whether lines carry their names, so that only a narrow screen needs the legend."""
    detail: bool
    """Whether the panels are folded away: they show what others show, in another order."""
    drawn_in: str
    """Id of the finding that shows the same panels already; empty where none does."""


@dataclass(frozen=True, slots=True)
class Section:
    """One probe: its card, what is measured, and its charts; without ``ran``, that it was not."""

    probe: str
    title: str
    question: str
    ran: bool
    unran: Mark
    """Where it did not run: whether it was asked."""
    rules: tuple[tuple[Mark, str, str], ...]
    """The policy's rules on it: worst status, the rule's id, and the id of its finding (empty: none)."""
    card: Mapping[str, Any]
    charts: tuple[Drawn, ...]
    meanings: tuple[tuple[str, str], ...]
    figures: Table | None
    """All its figures, where no chart shows them."""
    health: Table | None
    """Raised health flags of its attacks."""


def sections(
    results: Results,
    verdicts: Verdicts,
    anchors: Mapping[str, str],
    shown_in: Mapping[tuple[str, str], str],
) -> list[Section]:
    """One section for each family and each probe of the run, in order; those that did not run say so.

    ``shown_in``: what findings draw already (see :func:`reports.draw.chart.subject`), with their ids.
    """
    entries = list(charts().values())
    probes = sorted({*results.probes, *families()}, key=probe_rank)
    return [
        _section(
            results,
            verdicts,
            anchors,
            probe,
            [d for e in entries if e.section == probe and (d := _drawn(results, e, shown_in)) is not None],
        )
        for probe in probes
    ]


def tradeoffs(results: Results) -> list[Drawn]:
    """The charts that set families against each other."""
    entries = [entry for entry in charts().values() if entry.section == "tradeoffs"]
    return [drawn for entry in entries if (drawn := _drawn(results, entry, {})) is not None]


def _section(
    results: Results, verdicts: Verdicts, anchors: Mapping[str, str], probe: str, drawn: list[Drawn]
) -> Section:
    card = {"title": "", "summary": "", "threat_model": "", "limits": "", "papers": (), "ids": ()}
    card |= results.about.get("cards", {}).get(probe, {})
    family = families().get(probe)
    rows = results.measurements[results.measurements["probe"] == probe]
    named = sorted(set(rows["metric"]), key=lambda name: (about_metric(name).title, name))
    title = (
        card["title"]
        or (family and family.title)
        or _TITLES.get(probe)
        or probe.replace("_", " ").capitalize()
    )
    return Section(
        probe,
        str(title),
        family.question if family else "",
        len(rows) > 0,
        _unran(results, verdicts, probe),
        tuple(_rules(results, verdicts, anchors, probe)),
        card,
        tuple(drawn),
        tuple((about_metric(name).title, about_metric(name).meaning) for name in named),
        None if drawn else measurement_table(results, probe),
        _health(results) if probe == "evasion" else None,
    )


def _unran(results: Results, verdicts: Verdicts, probe: str) -> Mark:
    asked = any(
        d.status == "not_run" and probe_of(results, d.rule.metric) == probe for d in verdicts.decisions
    )
    return NOT_ASKED if probe in results.about.get("skipped", {}) and not asked else MARKS["not_run"]


def _rules(
    results: Results, verdicts: Verdicts, anchors: Mapping[str, str], probe: str
) -> list[tuple[Mark, str, str]]:
    order = ("fail", "not_run", "inconclusive", "waived", "pass")
    found = []
    for rule in verdicts.policy.rules:
        statuses = {d.status for d in verdicts.decisions if d.rule.id == rule.id}
        worst = next((status for status in order if status in statuses), None)
        if worst is not None and probe_of(results, rule.metric) == probe:
            found.append((MARKS[worst], shown(rule.id, 80), anchors.get(rule.id, "")))
    return found


def _health(results: Results) -> Table | None:
    """What raised flags say, one row a flag; None if there is none."""
    rows = [
        (
            Cell(method_title(results, flag.variant)),
            Cell(str(flag.seed)),
            Cell(shown(flag.norm, 20)),
            Cell(health.title(flag.name)),
            Cell(number(flag.value, "number"), flag.value),
            Cell(number(flag.limit, "number"), flag.limit),
            Cell(shown(flag.note, 300)),
        )
        # Where the attacker may choose the norm, a flag counts there too.
        for flag in dict.fromkeys(flag for flags in health.raised(results).values() for flag in flags)
    ]
    heads = ("Variant", "Seed", "Norm", "Flag", "Found", "Limit", "What it means")
    return Table("Health flags that are raised", heads, tuple(rows)) if rows else None


def _drawn(results: Results, entry: Entry, shown_in: Mapping[tuple[str, str], str]) -> Drawn | None:
    chart: Chart | None = entry.draw(results)
    if chart is None:
        return None
    panels = tuple((panel.title, panel.plot.svg(panel.alt)) for panel in chart.panels)
    column = max((panel.plot.width for panel in chart.panels), default=0)
    legend = tuple((label, swatch(look)) for label, look in chart.legend)
    elsewhere = shown_in.get(chart.shows[0], "") if len(chart.shows) == 1 else ""
    return Drawn(
        entry.name, entry.title, chart.caption, panels, legend, chart.table, column, chart.named,
        entry.detail, elsewhere,
    )  # fmt: skip
