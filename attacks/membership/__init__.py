"""Membership inference: who was in the training set?

To add an attack: one file here with a constant ``ATTACK`` of type
:class:`attacks.membership._attack.MembershipAttack`; its name is the attack's name in plan and report.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from attacks._isolation import draw_seed
from attacks._model import target_logits
from attacks._sampling import fixed_sample
from attacks._techniques import techniques
from attacks.intervals import Estimate, InsufficientDataError, auc, balanced_accuracy, tpr_at_fpr
from attacks.membership._attack import Evidence, Judgement, MembershipAttack
from attacks.membership._settings import PACKAGE, Settings
from attacks.probe import Card, Examples, Measurement, Status, Target

__all__ = ["CARD", "Settings", "run"]

AUC, BALANCED_ACCURACY, TPR = "membership_auc", "membership_balanced_accuracy", "membership_tpr"

CARD = Card(
    title="Membership inference",
    summary="How well an attacker who sees the model's outputs can tell an example that it was trained on "
    "from one that it never saw; an AUC of 0.5 is guessing.",
    threat_model="Black box with probabilities: the attacker may query the model, knows the true label of "
    "each example, and knows for half of the examples whether they were members; it judges the other half.",
    limits="These attacks hold no reference models; attacks calibrated per example (LiRA, RMIA) find more. "
    "An average over examples can hide a few that leak fully: read the rate at a low false-positive rate.",
    metrics=(AUC, BALANCED_ACCURACY, TPR),
    papers=(
        "Yeom et al. 2018, Privacy risk in machine learning, arXiv:1709.01604",
        "Shokri et al. 2017, Membership inference attacks against machine learning models, arXiv:1610.05820",
        "Carlini et al. 2022, Membership inference attacks from first principles, arXiv:2112.03570",
    ),
    ids=("AML.T0024.000", "ML04:2023", "NISTAML.033"),
)


def run(target: Target, settings: Settings, generator: torch.Generator) -> Sequence[Measurement]:
    """AUC, balanced accuracy and true-positive rate at a low false-positive rate, for every attack.

    At most ``settings.examples`` members and as many non-members are judged, the same for every model that
    shares the data; so is the half whose membership the attacker knows. The two sides need not be as many: no
    figure depends on their share. What was learnt on the known half is judged on the other, and n is then the
    smaller side of that half. A figure that the data cannot support is refused.
    """
    known = techniques(PACKAGE, MembershipAttack)
    if target.members is None or target.nonmembers is None:
        side = "trained" if target.members is None else "not trained"
        return _without(
            settings, "not_applicable", f"the examples that the model was {side} on are not known"
        )
    sides = (
        fixed_sample(target.members, settings.examples),
        fixed_sample(target.nonmembers, settings.examples),
    )
    if min(map(len, sides)) < 4:
        counts = f"{len(sides[0])} members and {len(sides[1])} non-members"
        return _without(settings, "refused", f"{counts} are too few to attack: at least 4 of each are needed")
    evidence = _gather(target, *sides)
    rows: list[Measurement] = []
    for name in settings.attacks:
        own = torch.Generator().manual_seed(draw_seed(generator))
        rows += _rows(name, known[name].run(evidence, settings, own), evidence, settings)
    return rows


def _gather(target: Target, members: Examples, nonmembers: Examples) -> Evidence:
    """The model's outputs on both sides, each in a fixed random order of which every other one is known."""
    logits = torch.cat([target_logits(target, side) for side in (members, nonmembers)])
    return Evidence(
        logits=logits.double().numpy(),
        y=torch.cat((members.y, nonmembers.y)).cpu().numpy(),
        member=np.repeat([True, False], [len(members), len(nonmembers)]),
        known=np.concatenate([np.arange(len(side)) % 2 == 0 for side in (members, nonmembers)]),
    )


def _conditions(settings: Settings, attack: str) -> dict[str, dict[str, str | int | float]]:
    """What each metric's row says of its conditions."""
    at: dict[str, str | int | float] = {"attack": attack}
    return {AUC: at, BALANCED_ACCURACY: at, TPR: {**at, "fpr": settings.fpr}}


def _without(settings: Settings, status: Status, note: str) -> list[Measurement]:
    """The rows that would have been, each with the reason why it is not."""
    return [
        Measurement(metric, at=at, status=status, note=note)
        for name in settings.attacks
        for metric, at in _conditions(settings, name).items()
    ]


def _rows(name: str, judged: Judgement, evidence: Evidence, settings: Settings) -> list[Measurement]:
    """One row per metric; one that the data cannot support is refused."""
    unseen = ~evidence.known
    ranked = unseen if judged.learnt else np.ones_like(unseen)
    score = judged.score[ranked].astype(
        np.float32
    )  # as it is kept, for the figures to be taken again from it
    member, decision, truth = evidence.member[ranked], judged.decision[unseen], evidence.member[unseen]
    scored = {"score": score, "member": member}
    decided = {"correct": decision == truth, "member": truth}
    measures: dict[str, tuple[Callable[[], Estimate], Mapping[str, NDArray[np.generic]]]] = {
        AUC: (lambda: auc(score, member), scored),
        BALANCED_ACCURACY: (lambda: balanced_accuracy(decision, truth), decided),
        TPR: (lambda: tpr_at_fpr(score, member, settings.fpr), scored),
    }
    rows = []
    for metric, at in _conditions(settings, name).items():
        measure, outcomes = measures[metric]
        try:
            found = measure()
        except InsufficientDataError as reason:
            rows.append(Measurement(metric, at=at, status="refused", note=str(reason)))
        else:
            rows.append(
                Measurement(metric, found.value, found.low, found.high, found.n, at, outcomes=outcomes)
            )
    return rows
