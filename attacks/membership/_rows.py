"""The figures of one attack: one row a metric, refused where the data cannot support it."""

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from attacks.intervals import Estimate, InsufficientDataError, auc, balanced_accuracy, tpr_at_fpr
from attacks.membership._attack import Evidence, Judgement
from attacks.membership._settings import Settings
from attacks.probe import Measurement, Status

AUC, BALANCED_ACCURACY, TPR = "membership_auc", "membership_balanced_accuracy", "membership_tpr"
LUCK = "one attacker: the interval lacks the luck of what it learnt, and from whom"

At = Mapping[str, str | int | float]
Outcomes = Mapping[str, NDArray[np.generic]]


def conditions(settings: Settings, at: At) -> list[tuple[str, At]]:
    """Each row's metric and conditions."""
    rates = [(TPR, {**at, "fpr": fpr}) for fpr in settings.fpr]
    return [(AUC, at), (BALANCED_ACCURACY, at), *rates]


def without(settings: Settings, at: At, status: Status, note: str) -> list[Measurement]:
    """The rows that would have been, each with the reason why it is not."""
    return [
        Measurement(metric, at=where, status=status, note=note) for metric, where in conditions(settings, at)
    ]


def rows(
    judged: Judgement,
    evidence: Evidence,
    index: NDArray[np.int64],
    settings: Settings,
    at: At,
    note: str = "",
) -> list[Measurement]:
    """One row per metric. ``index``: each example's place among all members, or all non-members, (N,)."""
    unseen = ~evidence.known
    ranked = unseen if judged.learnt else np.ones_like(unseen)
    score = judged.score[ranked].astype(np.float32)  # as kept, for the figures to be taken again from it
    member, decision, truth = evidence.member[ranked], judged.decision[unseen], evidence.member[unseen]
    if judged.learnt:
        note = "; ".join(filter(None, (note, LUCK)))
    whole: dict[str, NDArray[np.generic]] = {"score": score, "member": member}
    decided = {"correct": decision == truth, "member": truth}
    if "attacker" not in at:  # the others' examples are the same
        whole |= {"label": evidence.y[ranked].astype(np.int32), "index": index[ranked].astype(np.int32)}
    if judged.by is not None:
        which, names = judged.by
        whole["by"] = which[ranked].astype(np.int16)
        exposed = _exposed(which[ranked][member], score[member], score[~member], names)
        note = "; ".join(part for part in (exposed, note) if part)
    measured: dict[str, tuple[Callable[[float], Estimate], Callable[[float], Outcomes]]] = {
        AUC: (lambda fpr: auc(score, member), lambda fpr: whole),
        BALANCED_ACCURACY: (lambda fpr: balanced_accuracy(decision, truth), lambda fpr: decided),
        TPR: (lambda fpr: tpr_at_fpr(score, member, fpr), lambda fpr: _accused(score, member, fpr)),
    }
    found = []
    for metric, where in conditions(settings, at):
        measure, outcomes = measured[metric]
        fpr = float(where.get("fpr", 0))
        try:
            e = measure(fpr)
        except InsufficientDataError as reason:
            found.append(Measurement(metric, at=where, status="refused", note=str(reason)))
        else:
            found.append(
                Measurement(metric, e.value, e.low, e.high, e.n, where, note=note, outcomes=outcomes(fpr))
            )
    return found


def _accused(score: NDArray[np.float32], member: NDArray[np.bool_], fpr: float) -> Outcomes:
    """Who is taken for a member at that rate, as :func:`attacks.intervals.tpr_at_fpr` counts them."""
    outside = np.sort(score[~member])
    rank = len(outside) - math.floor(fpr * (len(outside) + 1) + 1e-9)
    return {"accused": score > outside[rank], "member": member}


def _exposed(
    by: NDArray[np.int64],
    members: NDArray[np.float32],
    nonmembers: NDArray[np.float32],
    names: tuple[str, ...],
) -> str:
    """Which attack exposes how many of the members that score above all but 10% of the non-members."""
    above = members > np.quantile(nonmembers, 0.9)
    counts = np.bincount(by[above], minlength=len(names))
    order = np.argsort(-counts, kind="stable")
    said = ", ".join(f"{names[i]} {counts[i]}" for i in order if counts[i])
    return f"of {len(members)} members, at 10% false positives: {said or 'no attack exposes one'}"
