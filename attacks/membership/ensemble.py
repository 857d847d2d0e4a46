"""Ensemble: each example by the attack that exposes it most (smallest p-value, Tippett 1931)."""

import numpy as np
import torch

from attacks.membership._attack import Evidence, Floats, Judgement, MembershipAttack, UnfitError, thresholded
from attacks.membership._settings import Settings


def ensemble(evidence: Evidence, settings: Settings, generator: torch.Generator) -> Judgement:
    """Score each example by the smallest of its p-values, one an attack, negated logarithm.

    An attack's p-value of an example is the share of known non-members that score as high, the example
    counted among them. Where many share the smallest (no known one scores as high), how far the score lies
    above them decides, in their own spread.
    """
    del settings, generator
    if not evidence.others:
        raise UnfitError("there is no other attack to choose from")
    names = tuple(evidence.others)
    known = evidence.known & ~evidence.member
    exposed = np.stack([_surprise(judged.score, known) for judged in evidence.others.values()])
    judged = thresholded(exposed.max(axis=0), evidence, learnt=True)
    return Judgement(
        judged.score, judged.decision, learnt=True, by=(exposed.argmax(axis=0).astype(np.int64), names)
    )


def _surprise(score: Floats, known: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Floats:
    """−log10 p of every example among the known non-members, plus less than one step for the distance."""
    unseen = np.sort(score[known])
    above = len(unseen) - np.searchsorted(unseen, score, side="left")
    spread = max(float(np.subtract(*np.percentile(unseen, [75, 25]))), 1e-12)
    beyond = np.clip((score - unseen[-1]) / spread, 0, None)
    step = np.log10((len(unseen) + 2) / (len(unseen) + 1))  # what one more non-member would make of p
    found: Floats = -np.log10((above + 1) / (len(unseen) + 1)) + step * beyond / (1 + beyond)
    return found


ATTACK = MembershipAttack(
    ensemble,
    paper="Tippett 1931, The methods of statistics (the smallest of several p-values)",
    level="standard",
    needs="others",
)
