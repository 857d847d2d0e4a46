"""Findings: every requirement that is not met by all, worst first, with its evidence and what to do."""

from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from reports.data.aggregate import figures
from reports.data.key import method_title
from reports.data.results import Results
from reports.draw.chart import Cell, Panel, Table, subject
from reports.draw.plots import against_sparsity, band, legend, rings
from reports.draw.svg import swatch
from reports.families import Family, families, probe_of
from reports.gate.judge import Decision, Verdicts
from reports.gate.policy import Rule
from reports.gate.status import MARKS, Mark, figure, gravity, limit_short, requirement, told
from reports.language import words
from reports.language.metrics import metric as about_metric
from reports.page.pictures import Picture, pictures
from reports.page.tiles import why_open
from reports.story.advice import reproduce, verdict_changes
from reports.story.standards import Standard, standards

CHARTED = 8
"""Findings that carry a chart of their own; further ones are in their family's section."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One requirement that is not met, or not shown to be met, by every variant that it is for."""

    anchor: str
    rule: str
    title: str
    mark: Mark
    severity: str
    family: Family | None
    claim: tuple[str, ...]
    why: tuple[str, ...]
    chart: tuple[str, Markup] | None
    caption: str
    legend: tuple[tuple[str, Markup], ...]
    shows: tuple[str, str] | None
    """What the chart is of, see :func:`reports.draw.chart.subject`."""
    broken: str
    """The variant whose broken inputs are shown."""
    pictures: tuple[Picture, ...]
    table: Table
    met: Table | None
    reproduce: tuple[tuple[str, str], ...]
    changes: tuple[str, ...]
    remedies: tuple[str, ...]
    standards: tuple[Standard, ...]


def anchors(verdicts: Verdicts) -> dict[str, str]:
    """Rule id → id of its finding on the page, for rules that have one; worst first."""
    return {rule.id: f"finding-{i}" for i, (rule, _) in enumerate(_open(verdicts), 1)}


def findings(results: Results, verdicts: Verdicts) -> list[Finding]:
    """One for each rule that some variant does not meet, worst first."""
    named = anchors(verdicts)
    return [
        _finding(results, rule, decisions, named[rule.id], charted=i < CHARTED)
        for i, (rule, decisions) in enumerate(_open(verdicts))
    ]


def met(verdicts: Verdicts) -> list[tuple[Rule, int]]:
    """Rules that every variant meets, with the number of variants judged."""
    open_ = {rule.id for rule, _ in _open(verdicts)}
    by = _by_rule(verdicts)
    return [
        (rule, sum(d.status == "pass" for d in by.get(rule.id, ())))
        for rule in verdicts.policy.rules
        if rule.id not in open_
    ]


def _by_rule(verdicts: Verdicts) -> dict[str, list[Decision]]:
    found: dict[str, list[Decision]] = {}
    for decision in verdicts.decisions:
        found.setdefault(decision.rule.id, []).append(decision)
    return found


def _open(verdicts: Verdicts) -> list[tuple[Rule, list[Decision]]]:
    """Rules with a decision that is not a pass, each with its decisions worst first, worst rule first."""
    ordered = [sorted(decisions, key=gravity) for decisions in _by_rule(verdicts).values()]
    bad = [ds for ds in ordered if ds[0].status not in ("pass", "not_applicable")]
    return [(decisions[0].rule, decisions) for decisions in sorted(bad, key=lambda ds: gravity(ds[0]))]


def _finding(
    results: Results, rule: Rule, decisions: list[Decision], anchor: str, *, charted: bool
) -> Finding:
    worst = decisions[0]
    probe = probe_of(results, rule.metric)
    family = families().get(probe or "")
    chart, caption = _chart(results, worst, anchor) if charted else (None, "")
    why = [f"{rule.severity.capitalize()}: the severity that the policy gives this rule."]
    why += [text for text in (rule.description, family.stake if family else "") if text]
    open_ = [d for d in decisions if d.status not in ("pass", "not_applicable")]
    passed = [d for d in decisions if d.status == "pass"]
    return Finding(
        anchor,
        rule.id,
        requirement(rule),
        MARKS[worst.status],
        rule.severity,
        family,
        tuple(_claim(results, rule, decisions)),
        tuple(why),
        chart,
        caption,
        tuple((label, swatch(look)) for label, look in legend(results)) if chart else (),
        subject(rule.metric, worst.at or rule.at) if chart else None,
        method_title(results, worst.variant),
        tuple(pictures(results, worst)) if charted else (),
        _table(results, rule, open_, "Variants that do not meet it, or are not shown to"),
        _table(results, rule, passed, "Variants that meet it") if passed else None,
        tuple(reproduce(results, worst)),
        tuple(verdict_changes(results, decisions)),
        family.remedies if family else (),
        tuple(standards(probe)) if probe else (),
    )


def _claim(results: Results, rule: Rule, decisions: list[Decision]) -> list[str]:
    """How many fail, are not decided, were not run; and the worst of them in figures."""
    judged = [d for d in decisions if d.status != "not_applicable"]
    parts = []
    for status, one, more in (
        ("fail", "fails", "fail"),
        ("not_run", "has no figure", "have no figure"),
        ("inconclusive", "is not decided", "are not decided"),
        ("waived", "is waived", "are waived"),
        ("pass", "meets it", "meet it"),
    ):
        count = sum(d.status == status for d in judged)
        if count:
            parts.append(f"{count} {one if count == 1 else more}")
    worst = decisions[0]
    lead = f"Of {words.counted(len(judged), 'variant')}, {words.listing(parts)}."
    name = method_title(results, worst.variant)
    if worst.value is None:
        return [lead, f"{name}: {words.shown(worst.reason, 300)}."]
    return [lead, f"The worst is {name}, where {told(worst)}."]


def _table(results: Results, rule: Rule, decisions: list[Decision], caption: str) -> Table:
    unit = about_metric(rule.metric).unit
    rows = []
    for d in decisions:
        span_of = words.change_span if rule.compares else words.span
        ends = words.DASH
        if d.low is not None and d.high is not None:
            ends = span_of(d.low, d.high, unit)
        rows.append(
            (
                Cell(method_title(results, d.variant)),
                Cell("", mark=MARKS[d.status]),
                Cell(figure(rule, d.value) or words.DASH, d.value),
                Cell(ends),
                Cell(words.DASH if d.n is None else f"{d.n:,}", d.n),
                Cell(str(d.seeds)),
                Cell(words.conditions(d.at or {}) or words.DASH),
                Cell(why_open(d)),
            )
        )
    judged = f"Worst seed ({limit_short(rule)})"
    heads = ("Variant", "Status", judged, "95% interval", "n", "Seeds", "At", "Why not decided")
    return Table(f"{caption} ({rule.id})", heads, tuple(rows))


def _chart(results: Results, worst: Decision, anchor: str) -> tuple[tuple[str, Markup] | None, str]:
    """The figure against sparsity with the limit drawn in, at the conditions of the worst decision."""
    rule = worst.rule
    at: Mapping[str, object] = worst.at or rule.at
    level, meaning = rule.limit, "the dotted line is the limit"
    if rule.compares:
        dense = figures(results, rule.metric, at).get("dense")
        if rule.reference != "dense" or dense is None or dense.value is None:
            return None, ""
        level = dense.value + (rule.limit if rule.kind == "max_rise" else -rule.limit)
        meaning = (
            "the dotted line stands the allowed change away from dense’s mean; what is judged is the paired "
            "change of every seed, in the table"
        )
    elif rule.of:
        clean = figures(results, "accuracy", {"split": "test"}).get("dense")
        if clean is None or clean.value is None:
            return None, ""
        level = rule.limit * clean.value
        meaning = (
            "the dotted line is that share of dense’s clean accuracy; what is judged is each model’s share "
            "of its own"
        )
    title = ", ".join(filter(None, (about_metric(rule.metric).title, words.conditions(at))))
    panel: Panel | None = against_sparsity(results, rule.metric, at, title=title, level=(level, "limit"))
    if panel is None:
        return None, ""
    side = "above" if rule.kind in ("min", "max_drop") else "below"
    caption = f"A line has to stay {side} the limit, with its whole interval: {meaning}. {band(results)}"
    if rule.metric == "robust_accuracy":
        caption += rings(results, at.get("norm"))
    return (title, panel.plot.svg(panel.alt)), caption
