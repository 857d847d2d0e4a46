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

    The attacker knows the membership of one half, the same for every model: what is learnt or chosen (a
    model, a threshold) comes from there, and is judged on the other half. The halves do not change
    places: two rules, each learnt on what the other is judged on, err together, and no interval of
    independent examples holds their mean (of 95% intervals 88 to 93% did).
    """

    logits: NDArray[np.float64]
    """(N, classes)."""
    y: NDArray[np.int64]
    """True labels (N,)."""
    member: NDArray[np.bool_]
    """(N,)."""
    known: NDArray[np.bool_]
    """Which examples' membership the attacker knows, (N,): half of the members and of the others, ± 1."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """An attacker's opinion of each example. Both (N,)."""

    score: NDArray[np.float64]
    """Higher: more likely a member."""
    decision: NDArray[np.bool_]
    """Taken for a member: by a rule chosen on the known examples, hence judged on the others only."""
    learnt: bool = False
    """Whether the score, too, was learnt on the known examples; else it speaks of all."""


@dataclass(frozen=True, slots=True)
class MembershipAttack:
    """One technique: its module's name is its name in plan and report."""

    run: Callable[[Evidence, "Settings", torch.Generator], Judgement]
    """(evidence, settings, generator) → judgement of every example by what the known ones teach."""
    paper: str


def threshold_decision(score: NDArray[np.float64], evidence: Evidence) -> NDArray[np.bool_]:
    """Decide by the threshold of highest balanced accuracy on the known examples, (N,) bool."""
    known = evidence.known
    decision: NDArray[np.bool_] = score >= best_threshold(score[known], evidence.member[known])
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
