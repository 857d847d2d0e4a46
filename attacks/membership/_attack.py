"""What a membership attack is given, and what it says of itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from attacks.membership._settings import Settings


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the model says of members and non-members, N examples in all.

    The attacker knows the membership of one half when it judges the other: what is learnt or chosen (a
    model, a threshold) for the examples of one fold comes from the other fold only.
    """

    logits: NDArray[np.float64]
    """(N, classes)."""
    y: NDArray[np.int64]
    """True labels (N,)."""
    member: NDArray[np.bool_]
    """(N,)."""
    fold: NDArray[np.bool_]
    """Which half an example is in, (N,); each holds half of the members and half of the non-members, ± 1."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """An attacker's opinion of each example. Both (N,)."""

    score: NDArray[np.float64]
    """Higher: more likely a member."""
    decision: NDArray[np.bool_]
    """Taken for a member."""


@dataclass(frozen=True, slots=True)
class MembershipAttack:
    """One technique: its module's name is its name in plan and report."""

    run: Callable[[Evidence, "Settings", torch.Generator], Judgement]
    """(evidence, settings, generator) → judgement of every example by what was learnt on the other fold."""
    paper: str


def threshold_decision(score: NDArray[np.float64], evidence: Evidence) -> NDArray[np.bool_]:
    """Decide each fold by the threshold of highest balanced accuracy on the other fold, (N,) bool."""
    decision = np.zeros(len(score), dtype=np.bool_)
    for fold in (False, True):
        here = evidence.fold == fold
        decision[here] = score[here] >= best_threshold(score[~here], evidence.member[~here])
    return decision


def best_threshold(score: NDArray[np.float64], member: NDArray[np.bool_]) -> float:
    """The t for which "score ≥ t is a member" has the highest balanced accuracy; the highest t of equals.

    Lies halfway between two neighbouring scores, so that it favours neither; infinite if calling no one a
    member is best. (N,) each; both sides must be present.
    """
    order = np.argsort(-score, kind="stable")
    ranked, inside = score[order], member[order]
    tpr = np.concatenate(([0.0], np.cumsum(inside) / inside.sum()))
    fpr = np.concatenate(([0.0], np.cumsum(~inside) / (~inside).sum()))
    usable = np.concatenate(([True], ranked[1:] < ranked[:-1], [True]))
    taken = int(np.argmax(np.where(usable, tpr - fpr, -np.inf)))
    if taken == 0:
        return float("inf")
    if taken == len(ranked):
        return float("-inf")
    return float((ranked[taken - 1] + ranked[taken]) / 2)
