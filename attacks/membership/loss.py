"""Loss threshold: an example the model fits well is taken for a member (Yeom et al. 2018, adversary 2)."""

import torch

from attacks.membership._attack import Evidence, Judgement, MembershipAttack, thresholded
from attacks.membership._settings import Settings
from attacks.membership._signals import scaled_confidence


def loss(evidence: Evidence, settings: Settings, generator: torch.Generator) -> Judgement:
    """Score each example by its logit-scaled confidence, which orders as −loss and p_y do, without ties."""
    del settings, generator
    return thresholded(scaled_confidence(evidence.logits, evidence.y), evidence)


ATTACK = MembershipAttack(
    loss,
    paper="Yeom et al. 2018, Privacy risk in machine learning: analyzing the connection to overfitting",
    level="quick",
)
