"""Margin threshold: the label's logit minus the best other, Carlini et al.'s hinge score (2022)."""

import torch

from attacks.membership._attack import Evidence, Judgement, MembershipAttack, thresholded
from attacks.membership._settings import Settings
from attacks.membership._signals import hinge


def margin(evidence: Evidence, settings: Settings, generator: torch.Generator) -> Judgement:
    """Score each example by z_y − max_{i≠y} z_i."""
    del settings, generator
    return thresholded(hinge(evidence.logits, evidence.y), evidence)


ATTACK = MembershipAttack(
    margin,
    paper="Carlini et al. 2022, Membership inference attacks from first principles",
    level="thorough",
)
