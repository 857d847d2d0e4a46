"""LiRA online, with each example's own variance (Carlini et al. 2022)."""

import torch

from attacks.membership._attack import Evidence, Judgement, MembershipAttack, thresholded
from attacks.membership._lira import lira
from attacks.membership._settings import Settings


def lira_online(evidence: Evidence, settings: Settings, generator: torch.Generator) -> Judgement:
    """Score by the likelihood ratio of references that trained on the example and that did not."""
    del settings, generator
    return thresholded(lira(evidence, online=True, shared=False), evidence)


ATTACK = MembershipAttack(
    lira_online,
    paper="Carlini et al. 2022, Membership inference attacks from first principles",
    level="standard",
    needs="references",
)
