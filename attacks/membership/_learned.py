"""Classifiers that an attacker trains on the known examples: as many members as non-members."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attacks.membership._attack import Evidence, Judgement


def balanced(evidence: Evidence) -> NDArray[np.intp]:
    """Known examples, as many of each side, else a classifier learns the larger's share; members first."""
    known = [np.flatnonzero(evidence.known & (evidence.member == side)) for side in (True, False)]
    even = min(map(len, known))
    return np.concatenate([side[:even] for side in known])


def classified(features: NDArray[np.float64], evidence: Evidence, make: Callable[[], Any]) -> Judgement:
    """P(member) of every example by a classifier (scikit-learn's interface) trained on the known ones.

    ``features``: (N, values).
    """
    taught = balanced(evidence)
    model = make().fit(features[taught], evidence.member[taught])
    score = np.asarray(model.predict_proba(features)[:, 1], dtype=np.float64)
    return Judgement(score, score >= 0.5, learnt=True)
