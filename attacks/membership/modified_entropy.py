"""Modified entropy, which counts whether the label is right, one threshold (Song & Mittal 2021)."""

import torch

from attacks.membership import _signals as signals
from attacks.membership._attack import Evidence, Judgement, MembershipAttack, thresholded
from attacks.membership._settings import Settings


def modified_entropy(evidence: Evidence, settings: Settings, generator: torch.Generator) -> Judgement:
    """Score each example by how low the modified entropy of its class probabilities is."""
    del settings, generator
    found = signals.modified_entropy(evidence.logits, evidence.y)
    return thresholded(signals.lowness(found), evidence)


ATTACK = MembershipAttack(
    modified_entropy,
    paper="Song & Mittal 2021, Systematic evaluation of privacy risks of machine learning models",
    level="thorough",
)
