"""The matrix of the first screen: variants × requirements, each cell a status with the figure judged."""

from collections.abc import Mapping
from dataclasses import dataclass

from reports.data.key import method_title
from reports.data.results import Results
from reports.draw.chart import Cell
from reports.draw.plots import numbers
from reports.gate.judge import Decision, Verdicts
from reports.gate.policy import Rule
from reports.gate.status import MARKS, Mark, figure, limit_short, mark_of
from reports.language.metrics import metric as about_metric
from reports.language.words import change, conditions, shown

MANY = 16
"""More variants than this, and those that meet the policy are folded away."""


@dataclass(frozen=True, slots=True)
class Column:
    """One requirement: what it is about, its limit, and where its finding is (empty if it has none)."""

    title: str
    under: str
    limit: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Row:
    """One variant; ``first``: it opens a method's group; ``number``: by which the page's script finds it."""

    name: str
    mark: Mark
    cells: tuple[Cell, ...]
    first: bool
    shown: bool
    """Whether it is the variant of the tiles."""
    number: int | None


@dataclass(frozen=True, slots=True)
class Matrix:
    """``rows`` are shown, ``folded`` ones meet the policy and are many."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    folded: tuple[Row, ...]


def matrix(
    results: Results, verdicts: Verdicts, variant: str | None, anchors: Mapping[str, str]
) -> Matrix | None:
    """None where the policy judges nothing. ``anchors``: rule id → id of its finding on the page."""
    if not verdicts.decisions:
        return None
    rules = verdicts.policy.rules
    columns = tuple(
        Column(
            f"{about_metric(rule.metric).title} {_noun(rule)}".rstrip(),
            conditions(rule.at),
            limit_short(rule).removeprefix(f"{_noun(rule)} "),
            anchors.get(rule.id, ""),
        )
        for rule in rules
    )
    judged: dict[str, dict[str, Decision]] = {}
    for decision in verdicts.decisions:
        judged.setdefault(decision.variant, {})[decision.rule.id] = decision
    order = [name for name in results.names() if name in judged]
    order += [name for name in judged if name not in order]
    rows, before = [], None
    for name in order:
        facts = results.made.get(name)
        series = name if facts is None else facts.series
        cells = tuple(_cell(judged[name].get(rule.id), anchors) for rule in rules)
        mark = MARKS[verdicts.on(name)]
        number = numbers(results).get(name)
        title = method_title(results, name)
        rows.append(Row(title, mark, cells, series != before, name == variant, number))
        before = series
    fold = len(rows) > MANY
    kept = [row for row in rows if not fold or row.mark is not MARKS["pass"] or row.shown]
    return Matrix(columns, tuple(kept), tuple(row for row in rows if row not in kept))


def _noun(rule: Rule) -> str:
    """What a rule on a change limits: ``drop`` or ``rise``; empty for the figure itself."""
    return rule.kind.removeprefix("max_") if rule.compares else ""


def _cell(decision: Decision | None, anchors: Mapping[str, str]) -> Cell:
    if decision is None:
        return Cell("", mark=MARKS["not_applicable"])
    text = figure(decision.rule, decision.value)
    if decision.rule.compares and decision.value is not None:
        text = change(decision.value, about_metric(decision.rule.metric).unit)
    text = text.removesuffix(" points").removesuffix(" of clean")
    link = anchors.get(decision.rule.id, "") if decision.status not in ("pass", "not_applicable") else ""
    return Cell(shown(text, 40), decision.value, mark=mark_of(decision), link=link)
