"""The claim report: one self-contained page, and the same as JSON; pure functions of the ledger."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from markupsafe import Markup

from reports.claims import words
from reports.claims.erratum import Erratum, Experiment
from reports.claims.field import field
from reports.claims.forest import forest
from reports.claims.ledger import Finding, Ledger
from reports.claims.pool import WHOLE, Pooled, cell_estimates
from reports.claims.study import Cell as Measured
from reports.claims.study import subject
from reports.draw.chart import Cell, Table
from reports.language.words import change, change_span, percent, shown
from reports.page import frame
from reports.stats.student import Estimate

TEMPLATES = Path(__file__).parent / "templates"
ROWS = 80
"""Variants of one claim that the page lists: a grid has thousands of figures, and JSON has them all."""


def ledger_page(
    ledger: Ledger,
    errata: Sequence[Erratum] = (),
    experiment: Experiment | None = None,
    facts: Mapping[str, str] | None = None,
) -> str:
    """The page as HTML: the ledger as a table, a part for each claim, the errata, the experiment.

    The same arguments give the same bytes. Every name is escaped as hostile; it asks for nothing.
    """
    style = frame.file("style.css") + (TEMPLATES / "claims.css").read_text(encoding="utf-8")
    return frame.environment(TEMPLATES).get_template("claims.html").render(
        csp=frame.csp(style),
        style=Markup(style),  # noqa: S704 (our own file)
        headline=words.headline(ledger),
        resolution=words.resolution(ledger),
        counts=[(mark, ledger.count(verdict)) for verdict, mark in words.MARKS.items()],
        marks=words.MARKS,
        findings=ledger.findings,
        effect=words.effect_text,
        summary=_capital_summary,
        sentences=words.sentences,
        drawn=_drawn,
        settings=_settings,
        cells=_cells,
        subjects=[subject(study) for study in ledger.studies],
        absent=[(subject(one), one.why) for one in ledger.absent],
        errata=errata,
        experiment=experiment,
        field=field(ledger.studies) if ledger.studies else (),
        facts=[(shown(name), shown(value, 2000)) for name, value in (facts or {}).items()],
    )  # fmt: skip


def _capital_summary(finding: Finding) -> str:
    text = words.summary(finding)
    return text[:1].upper() + text[1:]


def _drawn(finding: Finding) -> list[tuple[str, Markup]]:
    """A forest plot for each facet with estimates."""
    found = []
    for name, mine in _by_facet(finding).items():
        panel = forest(mine)
        if panel is not None:
            found.append((name, panel.plot.svg(panel.alt)))
    return found


def _by_facet(finding: Finding) -> dict[str, list[Pooled]]:
    if finding.claim.each_subject:
        return {}
    by: dict[str, list[Pooled]] = {}
    for one in finding.pooled:
        by.setdefault(one.facet.name, []).append(one)
    return by


def _settings(finding: Finding) -> Table:
    """Every setting with its effect and corrected p-values."""
    holding, failing = set(map(id, finding.decided.holding)), set(map(id, finding.decided.failing))
    rows = []
    for one in finding.pooled:
        verdict = "holds" if id(one) in holding else "fails" if id(one) in failing else ""
        name = "all together" if one.factor == WHOLE else one.level
        rows.append(
            (
                Cell(shown(name)),
                Cell(one.facet.name),
                Cell(words.effect(one), one.effect.value),
                Cell(_p(one.holds), one.holds),
                Cell(_p(one.fails), one.fails),
                Cell(verdict or "–"),
            )
        )
    heads = ("Setting", "Figure", "Effect", "p that it holds", "p that it fails", "Shown")
    return Table(f"{finding.claim.id}: every setting", heads, tuple(rows))


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _cells(finding: Finding) -> Table:
    """The variants that the claim was judged on, each with its own effect, at most :data:`ROWS` of them."""
    rows = []
    for name, cell, effect in _estimated(finding)[:ROWS]:
        unit = next(facet.unit for facet in finding.claim.facets if facet.name == name)
        rows.append(
            (
                Cell(shown(cell.variant, 80)),
                Cell(shown(subject(cell.study))),
                Cell(cell.method.words),
                Cell(percent(cell.sparsity), cell.sparsity),
                Cell(", ".join(filter(None, (name, cell.part)))),
                Cell(change(effect.value, unit), effect.value),
                Cell(change_span(*effect.ends(), unit) if effect.known else "one seed"),
                Cell(str(len(cell.each)), len(cell.each)),
                Cell(shown(cell.reference, 80)),
                Cell(cell.excluded or "yes"),
            )
        )
    heads = (
        "Variant", "Subject", "Method", "Sparsity", "Figure", "Effect", "95% interval", "Seeds", "Minus",
        "Counts",
    )  # fmt: skip
    total = len(finding.cells)
    part = f"; the first {ROWS} of {total:,}, all are in claims.json" if total > ROWS else ""
    return Table(f"{finding.claim.id}: every variant{part}", heads, tuple(rows))


def _estimated(finding: Finding) -> list[tuple[str, Measured, Estimate]]:
    """Facet, cell and the cell's own effect; spreads are moderated over all cells of a facet."""
    found = []
    for facet in finding.claim.facets:
        mine = [cell for name, cell in finding.cells if name == facet.name]
        found += [(facet.name, *pair) for pair in zip(mine, cell_estimates(mine), strict=True)]
    return found


def as_json(
    ledger: Ledger,
    errata: Sequence[Erratum] = (),
    experiment: Experiment | None = None,
    facts: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The same as values fit for JSON: effects as shares and AUCs, p-values as they are."""
    return {
        "headline": words.headline(ledger),
        "resolution": words.resolution(ledger),
        "subjects": [subject(study) for study in ledger.studies],
        "absent": [{"subject": subject(one), "why": one.why} for one in ledger.absent],
        "claims": [_finding(finding) for finding in ledger.findings],
        "errata": [asdict(one) for one in errata],
        "experiment": None if experiment is None else asdict(experiment),
        "field": [asdict(one) for one in field(ledger.studies)],
        "facts": dict(facts or {}),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    claim = finding.claim
    return {
        "id": claim.id,
        "title": claim.title,
        "sections": claim.sections,
        "smallest": claim.smallest,
        "verdict": finding.verdict,
        "p": finding.decided.p,
        "summary": words.summary(finding),
        "sentences": words.sentences(finding),
        "settings": [
            {
                "figure": one.facet.name,
                "factor": one.factor,
                "level": one.level,
                "effect": one.effect.value,
                "low": _finite(one.effect.ends()[0]),
                "high": _finite(one.effect.ends()[1]),
                "p_holds": one.holds,
                "p_fails": one.fails,
                "cells": len(one.cells),
                "subjects": len(one.subjects),
            }
            for one in finding.pooled
        ],
        "cells": [
            {
                "figure": name,
                "variant": cell.variant,
                "subject": subject(cell.study),
                "method": cell.method.words,
                "sparsity": cell.sparsity,
                "part": cell.part,
                "effect": effect.value,
                "low": _finite(effect.ends()[0]),
                "high": _finite(effect.ends()[1]),
                "seeds": {str(seed): one.value for seed, one in cell.each.items()},
                "minus": cell.reference,
                "excluded": cell.excluded,
            }
            for name, cell, effect in _estimated(finding)
        ],
        "missing": list(finding.missing),
    }


def _finite(value: float) -> float | None:
    return value if abs(value) < float("inf") else None
