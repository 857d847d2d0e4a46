"""Confidence threshold: an example of which the model is sure, right or wrong (Salem et al. 2019)."""

import torch

from attacks.membership._attack import Evidence, Judgement, MembershipAttack, thresholded
from attacks.membership._settings import Settings
from attacks.membership._signals import max_confidence


def confidence(evidence: Evidence, settings: Settings, generator: torch.Generator) -> Judgement:
    """Score each example by the probability of its likeliest class; the attacker needs no label."""
    del settings, generator
    return thresholded(max_confidence(evidence.logits), evidence)


ATTACK = MembershipAttack(
    confidence,
    paper="Salem et al. 2019, ML-Leaks: model and data independent membership inference attacks",
    level="thorough",
    sees="probabilities",
)
