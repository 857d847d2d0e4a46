"""The first screen's tiles: one per attack family, for the variant shown; and what that one saves."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reports.data.aggregate import Figure, figures
from reports.data.key import method_title
from reports.data.results import Results
from reports.draw.chart import Cell, value_cell
from reports.families import Family, families, probe_of
from reports.gate.judge import Decision, Verdicts
from reports.gate.status import (
    MARKS,
    NO_LIMIT,
    NOT_ASKED,
    Mark,
    figure,
    gravity,
    limit_words,
    subject,
    waived,
)
from reports.language.metrics import metric as about_metric
from reports.language.words import DASH, change, change_span, conditions, shown, span
from reports.page.gauge import gauge
from reports.stats.compare import Comparison, compare_all
from reports.story.analysis import Analysis
from reports.story.savings import Saving, as_run, stored


@dataclass(frozen=True, slots=True)
class Tile:
    """One attack family. Where nothing was measured, there is no ``value`` and ``note`` says why."""

    family: str
    title: str
    question: str
    mark: Mark
    label: str = ""
    """Which figure, under which conditions."""
    value: Cell | None = None
    spread: str = ""
    """Lowest to highest seed, or the 95% interval of a single one."""
    dense: Cell | None = None
    facts: tuple[tuple[str, str], ...] = ()
    gauge: str = ""
    """The judged interval against its limit, as a picture."""
    note: str = ""


def tiles(analysis: Analysis, verdicts: Verdicts, variant: str | None) -> list[Tile]:
    """One for each attack family, measured or not; ``variant``: the pruned one that is shown, None: dense."""
    name = variant or "dense"
    return [_tile(analysis, verdicts, name, family) for family in families().values() if family.tile]


def heading(analysis: Analysis, variant: str | None) -> str:
    """What the tiles show."""
    if variant is None:
        return "The model as it is"
    return f"{method_title(analysis.results, variant)}, compared with dense"


def _tile(analysis: Analysis, verdicts: Verdicts, variant: str, family: Family) -> Tile:
    results = analysis.results
    mine = [
        d
        for d in verdicts.decisions
        if d.variant == variant and probe_of(results, d.rule.metric) == family.probe
    ]
    decided = min(mine, key=gravity) if mine else None
    key = next((key for key in analysis.keys if key.family == family.probe), None)
    if (decided is None and key is None) or (decided is not None and decided.value is None):
        mark = MARKS["not_run"] if decided is None else MARKS[decided.status]
        if (decided is None or not decided.asked) and family.probe in results.about.get("skipped", {}):
            return Tile(
                family.probe, family.title, family.question, NOT_ASKED, note="The plan leaves it out."
            )
        note = "Not measured in this run." if decided is None else why_open(decided)
        return Tile(family.probe, family.title, family.question, mark, note=note)
    if key is not None and variant in figures(results, key.metric, key.at):
        metric, at = key.metric, key.at  # what the headline speaks of
    elif decided is not None:
        metric, at = decided.rule.metric, decided.at or {}
    else:
        return Tile(
            family.probe, family.title, family.question, MARKS["not_run"], note="No figure in this run."
        )
    by = figures(results, metric, at)
    ours = by.get(variant)
    return Tile(
        family.probe,
        family.title,
        family.question,
        NO_LIMIT if decided is None else MARKS[decided.status],
        ", ".join(filter(None, (about_metric(metric).title, conditions(at)))),
        value_cell(ours),
        _spread(ours),
        value_cell(by.get("dense")) if variant != "dense" else None,
        tuple(_facts(results, variant, metric, at, decided)),
        "" if decided is None else gauge(decided),
        why_open(decided) if decided is not None else "",
    )


def _spread(found: Figure | None) -> str:
    if found is None or found.low is None:
        return ""
    ends = span(found.low, found.high, about_metric(found.metric).unit)
    return f"{found.seeds} seeds: {ends}" if found.seeds > 1 else f"95% interval {ends}"


def _facts(
    results: Results, variant: str, metric: str, at: Mapping[str, Any], decided: Decision | None
) -> Iterator[tuple[str, str]]:
    """What stands under the figure: the change against dense, the limit, and what was held against it.

    What was judged may be under other conditions than what is shown; it then says so.
    """
    if variant != "dense":
        comparison = compare_all(results, [variant], metric, at).get(variant)
        mean = ", mean" if comparison is not None and len(comparison.each) > 1 else ""
        yield "Change", DASH if comparison is None else change_of(metric, comparison)[0] + mean
    if decided is None:
        yield "Limit", "none in this policy"
        return
    yield "Limit", limit_words(decided.rule)
    elsewhere = decided.rule.metric != metric or dict(decided.at or {}) != dict(at)
    if decided.seeds > 1 or decided.rule.compares or elsewhere:
        unit = about_metric(decided.rule.metric).unit
        span_of = change_span if decided.rule.compares else span
        ends = "" if decided.low is None or decided.high is None else span_of(decided.low, decided.high, unit)
        label = decided.rule.kind.removeprefix("max_").capitalize() if decided.rule.compares else "Judged"
        which = f", worst of {decided.seeds} seeds" if decided.seeds > 1 else ""
        under = f", {subject(decided)}" if elsewhere else ""
        yield label, f"{figure(decided.rule, decided.value)}{f' ({ends})' if ends else ''}{which}{under}"


def why_open(decided: Decision) -> str:
    """Why a figure decides nothing, where that is so; a waiver, where there is one."""
    if decided.waiver is not None:
        said = waived(decided)
        return said[:1].upper() + said[1:]
    if decided.status not in ("inconclusive", "not_run"):
        return ""
    why = shown(decided.reason if decided.value is None else decided.reason.rpartition("; ")[2], 300)
    return f"{why[:1].upper()}{why[1:]}."


def change_of(metric: str, comparison: Comparison | None) -> tuple[str, str]:
    """A paired difference with its interval, and its verdict in words; empty where there is none."""
    if comparison is None:
        return "", ""
    unit, pooled = about_metric(metric).unit, comparison.pooled
    text = f"{change(pooled.value, unit)} ({change_span(pooled.low, pooled.high, unit)})"
    if comparison.direction != "same":
        return text, comparison.direction
    return text, "not told apart" if comparison.leans == "same" else f"{comparison.leans}, uncorrected"


def retraining_of(metric: str, comparison: Comparison | None) -> tuple[str, str]:
    """The same for a retraining; empty with one seed."""
    again = None if comparison is None else comparison.retraining
    if comparison is None or again is None:
        return "", ""
    unit = about_metric(metric).unit
    text = f"{change(again.value, unit)} ({change_span(again.low, again.high, unit)})"
    return text, "not told apart" if comparison.of_retraining == "same" else comparison.of_retraining


def savings(results: Results, variant: str | None) -> list[tuple[str, Cell, Cell, str]]:
    """What the shown variant saves, as the headline has it: title, dense's cost, its own, the ratio."""
    if variant is None:
        return []
    return [
        (about_metric(one.metric).title, value_cell(one.dense), value_cell(one.ours), _ratio(one))
        for one in (*stored(results, variant), *as_run(results, variant))
    ]


def _ratio(saving: Saving) -> str:
    if saving.same:
        return "the same within 5%"
    less, more = ("faster", "slower") if saving.metric == "latency" else ("less", "more")
    return f"{1 / saving.share:.2g}× {less}" if saving.share < 1 else f"{saving.share:.2g}× {more}"
