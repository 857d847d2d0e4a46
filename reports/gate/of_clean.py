"""Robust accuracy as a share of clean accuracy: what no attack takes of what a model gets right."""

from collections.abc import Mapping
from dataclasses import replace

from scipy import special

from reports.data.ledger import canonical
from reports.data.results import Results
from reports.gate.rows import Found, Gap, Reading
from reports.stats.compare import evidence_of
from reports.stats.difference import TAIL

_CLEAN = {"split": "test"}


def of_clean(results: Results, found: Mapping[str, Found]) -> dict[str, Found]:
    """Each reading over clean accuracy, on the same examples; a gap where the two do not pair.

    Given the examples that the model classifies rightly, those that withstand are binomial: Clopper &
    Pearson's interval, and their number is ``n``.
    """
    clean = evidence_of(results, "accuracy", canonical(_CLEAN))
    made = {}
    for variant, one in found.items():
        readings, gaps = [], list(one.gaps)
        for reading in one.readings:
            robust = evidence_of(results, "robust_accuracy", canonical(dict(reading.at)))
            ours = robust.get(variant, {}).get(reading.seed, {}).get("correct")
            right = clean.get(variant, {}).get(reading.seed, {}).get("correct")
            if ours is None or right is None or ours.shape != right.shape or not right.any():
                why = f"seed {reading.seed} has no clean accuracy on the same examples to take a share of"
                gaps.append(Gap("inconclusive", why))
            else:
                readings.append(_share(reading, int((ours & right).sum()), int(right.sum())))
        made[variant] = Found(tuple(readings), tuple(gaps))
    return made


def _share(reading: Reading, kept: int, n: int) -> Reading:
    low = float(special.betaincinv(kept, n - kept + 1, TAIL)) if kept else 0.0
    high = float(special.betaincinv(kept + 1, n - kept, 1 - TAIL)) if kept < n else 1.0
    return replace(reading, value=kept / n, low=low, high=high, n=n)
