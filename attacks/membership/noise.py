"""Sensitivity to noise: a member's outputs change little under small noise (Yuan & Zhang 2022)."""

import torch

from attacks.membership._attack import Evidence, Floats, Judgement, MembershipAttack, UnfitError, thresholded
from attacks.membership._settings import Settings
from attacks.membership._signals import scaled_confidence


def noise(evidence: Evidence, settings: Settings, generator: torch.Generator) -> Judgement:
    """Score each example by minus its :func:`sensitivity`."""
    del settings, generator
    return thresholded(-sensitivity(evidence), evidence)


def sensitivity(evidence: Evidence) -> Floats:
    """Mean absolute change of the label's logit-scaled confidence over the noisy copies, (N,).

    Of probabilities the change would be lost in rounding where they near 1.
    """
    if evidence.noisy is None:
        raise UnfitError("there are no outputs for noisy inputs")
    clean = scaled_confidence(evidence.logits, evidence.y)
    moved: Floats = abs(scaled_confidence(evidence.noisy, evidence.y) - clean[:, None]).mean(axis=1)
    return moved


ATTACK = MembershipAttack(
    noise,
    paper="Yuan & Zhang 2022, Membership inference attacks and defenses in neural network pruning",
    level="thorough",
    needs="noise",
)
