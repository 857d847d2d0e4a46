"""C3: too much pruning lowers resistance to unknown attacks, moderate pruning does not."""

from collections.abc import Sequence

import numpy as np

from reports.claims import readings
from reports.claims.claim import Claim, Facet, fall, not_lower
from reports.claims.figures import Where, anywhere, moderate, strong
from reports.claims.pool import by_seed
from reports.claims.study import Cell, Study, subject
from reports.language.words import percent
from reports.stats.knee import Knee, knee

SMALLEST = 0.02
BENT = 0.5
"""A knee is told where it explains at least this share of the squared distances from a straight line."""


def _cells(study: Study, where: Where = anywhere) -> list[Cell]:
    tuned = [cell for cell in readings.tuned(study) if where(cell.method, cell.sparsity)]
    return [*tuned, *readings.unlike(study, where)]


def _moderate(study: Study) -> list[Cell]:
    return _cells(study, moderate)


def _strong(study: Study) -> list[Cell]:
    return _cells(study, strong)


def turning(study: Study) -> Knee | None:
    """Where robust accuracy begins to fall, on the scale −log10(1 − sparsity); dense stands at 0."""
    by: dict[float, list[Cell]] = {}
    for cell in _cells(study):
        if not cell.excluded:
            by.setdefault(cell.sparsity, []).append(cell)
    curves = {sparsity: by_seed(cells) for sparsity, cells in by.items()}
    if not curves:
        return None
    seeds = sorted(set.intersection(*(set(curve) for curve in curves.values())))
    places = sorted(curves)
    x = np.array([0.0, *(-np.log10(1 - s) for s in places)])
    y = np.array([[0.0, *(curves[s][seed].value for s in places)] for seed in seeds])
    return knee(x, y) if len(seeds) > 1 else None


def _told(studies: Sequence[Study]) -> list[str]:
    told = []
    for study in studies:
        found = turning(study)
        if found is None:
            continue
        at, low, high = (percent(round(1 - 10**-v, 3)) for v in (found.at, found.low, found.high))
        if found.slope >= 0 or found.gain < BENT:
            told.append(f"{subject(study)}: no knee, a straight line fits about as well.")
        else:
            told.append(
                f"{subject(study)}: a knee at {at} sparsity ({low} to {high}); beyond it accuracy falls."
            )
    return told


CLAIM = Claim(
    id="C3",
    title="Too much pruning lowers resistance to unknown attacks, moderate pruning does not",
    sections="§9.5",
    says="Moderate pruning is safe; beyond some point resistance to unknown attacks falls.",
    hypothesis="Up to 50% sparsity robust accuracy falls by less than what matters; from 90% on it falls "
    "by more.",
    test="Non-inferiority up to 50% and a difference from 90% on, under tuned and unlike attacks; where "
    "the knee lies: a segmented fit over sparsity, with an interval by drawing seeds.",
    smallest="2 points of accuracy under attack",
    facets=(
        Facet(
            "accuracy under attack up to 50% sparsity",
            not_lower(SMALLEST),
            "share",
            _moderate,
            "no robust accuracy at 50% sparsity or less",
        ),
        Facet(
            "accuracy under attack from 90% sparsity on",
            fall(SMALLEST),
            "share",
            _strong,
            "no robust accuracy at 90% sparsity or more",
        ),
    ),
    note=_told,
)
