"""Entropy threshold: an example whose outputs have a low entropy (Salem et al. 2019)."""

import torch

from attacks.membership import _signals as signals
from attacks.membership._attack import Evidence, Judgement, MembershipAttack, thresholded
from attacks.membership._settings import Settings


def entropy(evidence: Evidence, settings: Settings, generator: torch.Generator) -> Judgement:
    """Score each example by how low the entropy of its probabilities is; the attacker needs no label."""
    del settings, generator
    return thresholded(signals.lowness(signals.entropy(evidence.logits)), evidence)


ATTACK = MembershipAttack(
    entropy,
    paper="Song & Mittal 2021, Systematic evaluation of privacy risks of machine learning models",
    level="thorough",
    sees="probabilities",
)
