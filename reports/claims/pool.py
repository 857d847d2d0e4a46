"""From cells to estimates: of each subject, of all, and of each level of each factor; for a retraining."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from reports.claims.claim import Facet
from reports.claims.figures import mean, plain
from reports.claims.study import Cell, Study
from reports.stats.difference import Difference
from reports.stats.moderated import Retraining, retrainings, shared
from reports.stats.random_effects import Summary, random_effects
from reports.stats.student import Estimate

FACTORS = ("subject", "data", "architecture", "defence", "kind", "hardness", "schedule", "sparsity", "part")
"""By what a claim may hold here and fail there, the coarsest first."""
WHOLE = "all"


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """The effect over some cells of a facet: the subjects' own, and their summary.

    ``holds`` and ``fails``: p-values of the claims that the effect lies in the facet's region, and outside.
    """

    facet: Facet
    factor: str
    level: str
    cells: tuple[Cell, ...]
    subjects: tuple[tuple[str, Estimate], ...]
    summary: Summary | None
    """Over subjects, where there are at least two."""
    holds: float
    fails: float

    @property
    def effect(self) -> Estimate:
        """The summary's mean, or the only subject's own effect."""
        return self.subjects[0][1] if self.summary is None else self.summary.mean

    @property
    def name(self) -> str:
        """What it is of, in words, for a sentence."""
        if self.factor == WHOLE:
            return self.facet.name
        if self.factor in ("kind", "hardness", "schedule"):
            return f"{self.level} pruning"
        return f"at {self.level}" if self.factor == "sparsity" else self.level


def pool(facet: Facet, cells: Sequence[Cell]) -> list[Pooled]:
    """The whole first, then every level of every factor that has several; nothing without cells that count.

    Cells of one subject share the seeds of its dense model: they are averaged within each seed first, and the
    spread between seeds is that of those averages. All groups' spreads moderate one another
    (:mod:`reports.stats.moderated`). A group whose seeds are fewer than two has no estimate.
    """
    sound = [cell for cell in cells if not cell.excluded]
    groups = [(WHOLE, WHOLE, sound), *_levels(sound)]
    each: list[tuple[int, Study, list[Difference]]] = []
    for i, (_, _, members) in enumerate(groups):
        by: dict[str, list[Cell]] = {}
        for cell in members:
            by.setdefault(cell.study.name, []).append(cell)
        each += [(i, by[name][0].study, list(by_seed(by[name]).values())) for name in sorted(by)]
    found = retrainings([differences for _, _, differences in each])
    pooled = []
    for i, (factor, level, members) in enumerate(groups):
        subjects = [
            (study, _estimate(one, group), group)
            for (j, study, group), one in zip(each, found, strict=True)
            if j == i and group
        ]
        if subjects:
            pooled.append(_pooled(facet, factor, level, tuple(members), subjects))
    return pooled


_Subject = tuple[Study, Estimate, Sequence[Difference]]
"""A study, its effect, and the differences by seed that it is made of."""


def _pooled(
    facet: Facet, factor: str, level: str, cells: tuple[Cell, ...], subjects: Sequence[_Subject]
) -> Pooled:
    """Two ways lead to a claim on several subjects: their mean, or that it is shown in each of them. Each
    gets half of the error."""
    region, own = facet.region, [estimate for _, estimate, _ in subjects]
    named = tuple((study.name, estimate) for study, estimate, _ in subjects)
    holds, fails = max(map(region.inside, own)), max(map(region.outside, own))
    if len(own) == 1:
        return Pooled(facet, factor, level, cells, named, None, holds, fails)
    summary = _summary(subjects)
    holds = min(1.0, 2 * min(region.inside(summary.mean), holds))
    fails = min(1.0, 2 * min(region.outside(summary.mean), fails))
    return Pooled(facet, factor, level, cells, named, summary, holds, fails)


def _summary(subjects: Sequence[_Subject]) -> Summary:
    """The random-effects summary, its mean's spread widened by what examples add to several subjects alike:
    those of one data set are measured on the same ones, which their own spread does not show."""
    own = [estimate for _, estimate, _ in subjects]
    found = random_effects([e.value for e in own], [e.spread**2 for e in own])
    by: dict[tuple[str, tuple[int, ...]], list[int]] = {}
    for i, (study, _, group) in enumerate(subjects):
        shape = tuple(len(part) for part in mean(group).parts)
        by.setdefault((study.data, shape), []).append(i)
    common = sum(
        sum(found.shares[i] for i in alike) ** 2 * shared([mean(subjects[i][2]) for i in alike])
        for alike in by.values()
        if len(alike) > 1
    )
    known = all(estimate.known for estimate in own)
    middle = found.mean
    spread = math.sqrt(middle.spread**2 + common)
    return replace(found, mean=Estimate(middle.value, spread, middle.freedom if known else 0.0))


def _estimate(one: Retraining | None, group: Sequence[Difference]) -> Estimate:
    """With one seed there is a value, and nothing is known of how far another training would lie from it."""
    if one is None:
        return Estimate(group[0].value, 1.0, 0)
    return Estimate(one.value, one.spread, one.freedom)


def _levels(cells: Sequence[Cell]) -> list[tuple[str, str, list[Cell]]]:
    """Factor, level and its cells; a set of cells that an earlier factor made already is left out."""
    found: list[tuple[str, str, list[Cell]]] = []
    seen = {frozenset(range(len(cells)))}
    for factor in FACTORS:
        by: dict[str, list[int]] = {}
        for i, cell in enumerate(cells):
            by.setdefault(cell.factors[factor], []).append(i)
        for level in sorted(by, key=_order):
            members = frozenset(by[level])
            if level and members not in seen:
                seen.add(members)
                found.append((factor, level, [cells[i] for i in by[level]]))
    return found


def _order(level: str) -> tuple[float, str]:
    """Percentages by size, words by alphabet."""
    try:
        return float(level.removesuffix("%")), level
    except ValueError:
        return 0.0, level


def by_seed(cells: Sequence[Cell]) -> dict[int, Difference]:
    """One difference for each seed: the mean over the cells, of seeds that all cells have.

    Cells with fewer seeds than the others are left out, so that they do not cost the others theirs. Examples'
    contributions are averaged too where all cells have the same examples.
    """
    most = max(len(cell.each) for cell in cells)
    full = [cell for cell in cells if len(cell.each) == most]
    seeds = sorted(set.intersection(*(set(cell.each) for cell in full)))
    table = [[cell.each[seed] for seed in seeds] for cell in full]
    values = np.array([[one.value for one in row] for row in table]).mean(axis=0)
    shapes = {tuple(len(part) for part in one.parts) for row in table for one in row}
    parts: list[NDArray[np.float64]] = []
    if len(shapes) == 1:
        which = range(len(next(iter(shapes))))
        parts = [np.array([[one.parts[i] for one in row] for row in table]).mean(axis=0) for i in which]
    return {seed: plain(float(values[j]), tuple(part[j] for part in parts)) for j, seed in enumerate(seeds)}


def cell_estimates(cells: Sequence[Cell]) -> list[Estimate]:
    """Each cell's own effect for a retraining, the spreads of all moderated together."""
    groups = [list(cell.each.values()) for cell in cells]
    return [_estimate(one, group) for one, group in zip(retrainings(groups), groups, strict=True)]
