"""Loss threshold: an example the model fits well is taken for a member (Yeom et al. 2018, adversary 2)."""

import numpy as np
import torch
from scipy.special import logsumexp

from attacks.membership._attack import Evidence, Judgement, MembershipAttack, threshold_decision
from attacks.membership._settings import Settings


def loss(evidence: Evidence, settings: Settings, generator: torch.Generator) -> Judgement:
    """Score each example by how small its cross-entropy is.

    The score is log p_y − log(1 − p_y), straight from the logits: a strictly rising function of −loss, so
    it orders examples as −loss does, but it does not tie where p_y rounds to 1 (most members' does).
    """
    del settings, generator
    rows = np.arange(len(evidence.y))
    others = evidence.logits.copy()
    others[rows, evidence.y] = -np.inf
    score = evidence.logits[rows, evidence.y] - logsumexp(others, axis=1)
    return Judgement(score, threshold_decision(score, evidence))


ATTACK = MembershipAttack(
    loss, paper="Yeom et al. 2018, Privacy risk in machine learning: analyzing the connection to overfitting"
)
