"""The report: one self-contained page, a pure function of the results, the policy and the baseline."""

import re
from typing import Any

from markupsafe import Markup

from reports.data.results import Results
from reports.gate import status
from reports.gate.judge import Verdicts, judge
from reports.gate.policy import DEFAULT, preset
from reports.language import glossary, words
from reports.page import findings, frame, pairs, sections, since, strip, tables, tiles
from reports.page.matrix import matrix
from reports.story import standards
from reports.story.analysis import analyse
from reports.story.reach import shown_variant
from reports.story.summary import NOT_EQUAL, summarise


def render(results: Results, verdicts: Verdicts | None = None, baseline: Results | None = None) -> str:
    """The page as HTML, judged by ``verdicts`` (by the preset ``standard`` if there are none).

    ``baseline``: an earlier run that can be compared with this one; the page says what changed since.

    The same arguments give the same bytes; nothing in it asks for anything else. Every name is escaped as
    hostile; the Content-Security-Policy allows this page's own style sheet and script (by their hashes),
    style attributes and pictures inside the page, and nothing else: no other script, no request.
    """
    verdicts = verdicts or judge(results, preset(DEFAULT), baseline)
    analysis = analyse(results)
    variant = shown_variant(analysis, verdicts)
    anchors = findings.anchors(verdicts)
    about = results.about
    style, script = frame.file("style.css"), frame.file("script.js")
    found = findings.findings(results, verdicts)
    shown_in = {f.shows: f.anchor for f in reversed(found) if f.shows is not None}
    chosen = pairs.pairs(results)
    return frame.environment().get_template("page.html").render(
        csp=frame.csp(style, script),
        style=Markup(style),  # noqa: S704 (our own file)
        script=Markup(script),  # noqa: S704 (our own file)
        number_of={**tables.row_numbers(results), **pairs.row_numbers(results, chosen)},
        title=words.shown(about.get("plan_name") or "run", 120),
        subject_line=tables.subject_line(results),
        verdicts=verdicts,
        by_default=verdicts.policy.digest == preset(DEFAULT).digest,
        overall=status.MARKS[verdicts.status],
        answer=status.MARKS[verdicts.status if variant is None else verdicts.on(variant)],
        tally=tally(results, verdicts),
        marks=status.MARKS,
        used=[mark for state, mark in status.MARKS.items() if verdicts.count(state)],
        requirement=status.requirement,
        summary=summarise(analysis, verdicts),
        not_equal=NOT_EQUAL,
        tiles=tiles.tiles(analysis, verdicts, variant),
        tiles_heading=tiles.heading(analysis, variant),
        savings=tiles.savings(results, variant),
        matrix=matrix(results, verdicts, variant, anchors),
        strip=strip.strip(results, verdicts, variant),
        trouble=tables.trouble_table(results),
        since=None if baseline is None else since.since(analysis, verdicts, baseline),
        findings=found,
        met=findings.met(verdicts),
        tradeoffs=sections.tradeoffs(results),
        comparison=tables.comparison_table(analysis),
        retraining=tables.retraining_table(analysis),
        against_control=analysis.control and tables.comparison_table(analysis, analysis.control),
        pairs=pairs.pairs_table(analysis, chosen),
        left_out=pairs.left_out(results, chosen),
        sections=_anchored(sections.sections(results, verdicts, anchors, shown_in)),
        standards=standards.relevance(results),
        catalogues=standards.catalogues(),
        subject=_rows(about.get("subject", {})),
        settings=tables.settings_rows(about.get("plan", {})),
        methods=_methods(results),
        environment=_rows(about.get("environment", {})),
        times=_rows(strip.times(results)),
        command=words.shown(about.get("command") or "", 2000),
        started=words.shown(about.get("started") or words.DASH),
        plan_digest=words.shown(about["plan_digest"]),
        weights=tables.weights_table(results),
        glossary=glossary.terms(),
        measurements=tables.measurement_table(results),
        count=len(results.measurements),
    )  # fmt: skip


def tally(results: Results, verdicts: Verdicts) -> str:
    """``for the run as a whole: of 12 pruned versions, 5 fail and 7 are inconclusive.``"""
    pruned = results.names(pruned=True)
    found = [verdicts.on(name) for name in pruned]
    parts = []
    for state, one, more in (
        ("pass", "passes", "pass"),
        ("waived", "is waived", "are waived"),
        ("fail", "fails", "fail"),
        ("inconclusive", "is inconclusive", "are inconclusive"),
        ("not_run", "is not fully measured", "are not fully measured"),
        ("not_applicable", "is not judged", "are not judged"),
    ):
        count = found.count(state)  # type: ignore[arg-type]
        if count:
            parts.append(f"{count} {one if count == 1 else more}")
    if not parts:
        return f"for the run as a whole: {verdicts.applied_words}."
    many = words.counted(len(pruned), "pruned version")
    return (
        f"for the run as a whole, since its worst variant decides: of {many}, {words.listing(parts)}; "
        f"{verdicts.applied_words}."
    )


def _anchored(found: list[sections.Section]) -> list[tuple[str, sections.Section]]:
    """Each section with an id that is unique on the page, whatever the probe is called."""
    used: set[str] = set()
    anchored = []
    for number, section in enumerate(found, 1):
        name = "probe-" + (re.sub(r"[^a-z0-9]+", "-", section.probe.lower()).strip("-")[:40] or str(number))
        anchor = f"{name}-{number}" if name in used else name
        used.add(anchor)
        anchored.append((anchor, section))
    return anchored


def _rows(table: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name.replace("_", " "), value) for name, value in tables.settings_rows(table)]


def _methods(results: Results) -> list[tuple[str, ...]]:
    """The methods of this run with what they do and where they are from."""
    used = {str(m) for m in results.variants["method"]}
    known = results.about.get("methods", {})
    return [
        (words.shown(name), *(words.shown(known[name].get(key, ""), 600) for key in ("summary", "source")))
        for name in sorted(known)
        if name in used
    ]
