"""Augmented queries: the loss threshold on the mean over shifts and a flip (Kaya & Dumitras 2021)."""

import torch

from attacks.membership._attack import Evidence, Judgement, MembershipAttack, UnfitError, thresholded
from attacks.membership._settings import Settings
from attacks.membership._signals import scaled_confidence


def augmented(evidence: Evidence, settings: Settings, generator: torch.Generator) -> Judgement:
    """Score each example by its logit-scaled confidence, averaged over the queries."""
    del settings, generator
    if evidence.augmented is None:
        raise UnfitError("inputs that are no images cannot be shifted and flipped")
    return thresholded(scaled_confidence(evidence.augmented, evidence.y).mean(axis=1), evidence)


ATTACK = MembershipAttack(
    augmented,
    paper="Kaya & Dumitras 2021, When does data augmentation help with membership inference attacks?",
    level="thorough",
    needs="images",
)
