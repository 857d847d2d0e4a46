"""Attackers who hold more, or know less, than the usual one: the same attacks on other evidence."""

import numpy as np
import torch

from attacks.membership._attack import Evidence, Floats, Judgement, MembershipAttack
from attacks.membership._learned import balanced
from attacks.membership._settings import Settings

STACKED = ("loss", "lira_online_shared", "rmia_simple")
"""The attacks that an attacker who holds several models runs on each of them."""


def together(
    attack: MembershipAttack, held: list[Evidence], settings: Settings, seed: int
) -> tuple[Judgement, list[Judgement]]:
    """One judgement by what the attack says of each model held, and those judgements.

    ``held``: what each model says of the same examples. The scores are joined by a logistic regression on the
    known examples (CompLeak, 2026, trains a classifier on the outputs of all); each score is first brought to
    one scale by a rising function, asinh of its distance from the known median in known quartile ranges, so
    that no model's ranking is lost.
    """
    from sklearn.linear_model import LogisticRegression

    judged = [attack.run(e, settings, torch.Generator().manual_seed(seed)) for e in held]
    first = held[0]
    scores = np.column_stack([_scaled(j.score, first.known) for j in judged])
    taught = balanced(first)
    model = LogisticRegression(C=1.0).fit(scores[taught], first.member[taught])
    joint: Floats = np.asarray(model.decision_function(scores), dtype=np.float64)
    return Judgement(joint, joint >= 0, learnt=True), judged


def _scaled(score: Floats, known: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Floats:
    low, middle, high = np.percentile(score[known], [25, 50, 75])
    found: Floats = np.arcsinh((score - middle) / max(high - low, 1e-12))
    return found
