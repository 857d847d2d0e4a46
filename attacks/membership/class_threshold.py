"""Modified entropy with a threshold for each class, learnt on the known examples (Song & Mittal 2021)."""

import numpy as np
import torch

from attacks.membership._attack import Evidence, Judgement, MembershipAttack, best_threshold
from attacks.membership._settings import Settings
from attacks.membership._signals import lowness, modified_entropy


def class_threshold(evidence: Evidence, settings: Settings, generator: torch.Generator) -> Judgement:
    """Score each example by how far it lies above its class's threshold, on the known examples of its class.

    A class with fewer than two known examples on either side, or none of whose thresholds beats guessing,
    has the threshold of all classes together.
    """
    del settings, generator
    score = lowness(modified_entropy(evidence.logits, evidence.y))
    known = evidence.known
    common = _finite(best_threshold(score[known], evidence.member[known]), score[known])
    thresholds = np.full(evidence.logits.shape[1], common)
    for label in np.unique(evidence.y):
        here = known & (evidence.y == label)
        if min((here & evidence.member).sum(), (here & ~evidence.member).sum()) >= 2:
            found = best_threshold(score[here], evidence.member[here])
            thresholds[label] = found if np.isfinite(found) else common
    above = score - thresholds[evidence.y]
    return Judgement(above, above >= 0, learnt=True)


def _finite(threshold: float, score: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    """A threshold that calls everyone or no one a member, as a number."""
    if np.isfinite(threshold):
        return threshold
    return float(score.min()) if threshold < 0 else float(np.nextafter(score.max(), np.inf))


ATTACK = MembershipAttack(
    class_threshold,
    paper="Song & Mittal 2021, Systematic evaluation of privacy risks of machine learning models",
    level="standard",
)
