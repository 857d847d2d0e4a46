"""The ledger: every claim of the paper with its verdict, a pure function of studies."""

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from reports.claims import hypotheses, safest
from reports.claims.claim import Claim
from reports.claims.pool import WHOLE, Pooled, pool
from reports.claims.study import Absent, Cell, Study, subject
from reports.claims.verdict import Decided, Verdict, Weighed, decide, weigh

Found = Mapping[str, Sequence[Cell]]
"""The cells of each facet, by its name."""


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """A claim's verdict and all that it rests on."""

    claim: Claim
    decided: Decided
    pooled: tuple[Pooled, ...]
    """The whole of each facet, and every level of every factor."""
    cells: tuple[tuple[str, Cell], ...]
    """Facet and cell, those that do not count included."""
    missing: tuple[str, ...]
    """What was not measured, in words; where a required figure is among it, the claim is not tested."""
    silent: tuple[str, ...]
    """Subjects that have no figure for this claim, and those that have no run."""
    notes: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """One of the five."""
        return self.decided.verdict

    @property
    def wholes(self) -> list[Pooled]:
        """The effect over all cells, of each facet that has some."""
        return [one for one in self.pooled if one.factor == WHOLE]


@dataclass(frozen=True, slots=True, eq=False)
class Ledger:
    """All findings, in the paper's order; ``absent``: subjects that were planned and have no run."""

    findings: tuple[Finding, ...]
    studies: tuple[Study, ...]
    absent: tuple[Absent, ...]

    def count(self, verdict: Verdict) -> int:
        """How many claims have that verdict."""
        return sum(finding.verdict == verdict for finding in self.findings)

    def of(self, claim: str) -> Finding:
        """The finding of a claim, by its id. Raises KeyError where there is none."""
        for finding in self.findings:
            if finding.claim.id == claim:
                return finding
        raise KeyError(claim)


@cache
def claims() -> tuple[Claim, ...]:
    """The claims in order, one file each, found by being there."""
    names = sorted(module.name for module in pkgutil.iter_modules(hypotheses.__path__))
    return tuple(importlib.import_module(f"{hypotheses.__name__}.{name}").CLAIM for name in names)


def judge(studies: Sequence[Study], absent: Sequence[Absent] = ()) -> Ledger:
    """Judge every claim on these studies. Raises ValueError where two have one name.

    Neither their order nor that of their rows or the names of seeds changes a verdict.
    """
    names = [study.name for study in studies]
    if len(set(names)) < len(names):
        raise ValueError(f"two studies have one name: {', '.join(sorted(names))}")
    studies = sorted(studies, key=lambda study: study.name)
    found = [{f.name: [c for s in studies for c in f.cells(s)] for f in claim.facets} for claim in claims()]
    judged = [weighed(claim, cells) for claim, cells in zip(claims(), found, strict=True)]
    decided = decide([p for _, p, _ in judged])
    findings = [
        _finding(claim, verdict, pooled, missing, cells, studies, absent)
        for claim, verdict, (pooled, _, missing), cells in zip(claims(), decided, judged, found, strict=True)
    ]
    return Ledger(tuple(findings), tuple(studies), tuple(absent))


def _finding(
    claim: Claim,
    decided: Decided,
    pooled: Sequence[Pooled],
    missing: Sequence[str],
    found: Found,
    studies: Sequence[Study],
    absent: Sequence[Absent],
) -> Finding:
    cells = tuple((name, cell) for name, mine in found.items() for cell in mine)
    measured = {cell.study.name for _, cell in cells}
    silent = [subject(study) for study in studies if study.name not in measured]
    silent += [f"{subject(one)} ({one.why})" for one in absent]
    notes = claim.note(studies) if claim.note is not None else []
    return Finding(claim, decided, tuple(pooled), cells, tuple(missing), tuple(silent), tuple(notes))


def weighed(claim: Claim, found: Found) -> tuple[list[Pooled], Weighed | None, list[str]]:
    """Estimates, p-values (None where the claim is not tested) and what is missing, in words."""
    if claim.each_subject:
        return safest.judged(claim, found)
    estimates = {facet.name: pool(facet, found[facet.name]) for facet in claim.facets}
    absent = [facet for facet in claim.facets if not estimates[facet.name]]
    missing = [f"{facet.name}: {_why(found[facet.name], facet.needs)}" for facet in absent]
    every = [one for facet in claim.facets for one in estimates[facet.name]]
    if any(facet.required for facet in absent) or not every:
        return every, None, missing
    return every, weigh(every), missing


def _why(cells: Sequence[Cell], needs: str) -> str:
    reasons = sorted({cell.excluded for cell in cells})
    return f"{len(cells)} measured, none of which counts ({'; '.join(reasons[:3])})" if cells else needs
