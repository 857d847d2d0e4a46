"""C14's judgement: whether each subject has some setting that is safe in every probe at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.claims.claim import Claim, Facet
from reports.claims.pool import WHOLE, Pooled, cell_estimates
from reports.claims.study import Cell, subject
from reports.claims.verdict import Weighed, weigh
from reports.stats.student import Estimate


@dataclass(frozen=True, slots=True, eq=False)
class _Setting:
    """One variant of one subject in all probes."""

    cell: Cell
    facet: Facet
    """The one that stands nearest to its limit, or farthest beyond."""
    effect: Estimate
    safe: float
    unsafe: float


def judged(
    claim: Claim, cells: Mapping[str, Sequence[Cell]]
) -> tuple[list[Pooled], Weighed | None, list[str]]:
    """Whole and subjects, with their p-values, which are None where no subject has figures of every family;
    and what is missing, in words.

    Of a subject: "holds" is the least p-value of its settings, times their number; "fails" the largest.
    Over subjects both must be so in each, so the largest counts.
    """
    missing = [f"{facet.name}: {facet.needs}" for facet in claim.facets if not cells[facet.name]]
    subjects: list[Pooled] = []
    by = _estimates(claim, cells)
    for name in sorted(by):
        settings = _settings(claim, by[name])
        if settings:
            subjects.append(_subject(name, settings))
        elif not missing:
            missing.append(f"no setting of {name} has figures of every family")
    if not subjects:
        return [], None, missing
    worst = max(subjects, key=lambda one: one.holds)
    holds, fails = worst.holds, max(one.fails for one in subjects)
    whole = Pooled(worst.facet, WHOLE, WHOLE, worst.cells, (worst.subjects[0],), None, holds, fails)
    pooled = [whole, *subjects]
    return pooled, weigh(pooled), missing


_Figures = dict[str, dict[str, tuple[Cell, Estimate]]]
"""By variant and facet."""


def _estimates(claim: Claim, cells: Mapping[str, Sequence[Cell]]) -> dict[str, _Figures]:
    """By study; spreads are moderated over all cells of a facet."""
    found: dict[str, _Figures] = {}
    for facet in claim.facets:
        mine = cells[facet.name]
        for cell, estimate in zip(mine, cell_estimates(mine), strict=True):
            figures = found.setdefault(cell.study.name, {}).setdefault(cell.variant, {})
            figures[facet.name] = (cell, estimate)
    return found


def _settings(claim: Claim, figures: _Figures) -> list[_Setting]:
    """Those with a figure in every family; none unless every family was measured for some."""
    found = []
    for known in figures.values():
        if len(known) < len(claim.facets):
            continue
        judged_by = [(f, *known[f.name]) for f in claim.facets]
        safe = [1.0 if cell.excluded else f.region.inside(e) for f, cell, e in judged_by]
        unsafe = [1.0 if cell.excluded else f.region.outside(e) for f, cell, e in judged_by]
        i = max(range(len(safe)), key=lambda j: safe[j])
        facet, cell, effect = judged_by[i]
        found.append(_Setting(cell, facet, effect, max(safe), min(1.0, len(unsafe) * min(unsafe))))
    return found


def _subject(name: str, settings: Sequence[_Setting]) -> Pooled:
    best = min(settings, key=lambda s: (s.safe, s.cell.variant))
    return Pooled(
        best.facet,
        "subject",
        f"{subject(best.cell.study)}: {best.cell.variant}",
        (best.cell,),
        ((name, best.effect),),
        None,
        min(1.0, len(settings) * best.safe),
        max(s.unsafe for s in settings),
    )
