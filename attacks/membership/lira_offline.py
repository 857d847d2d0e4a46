"""LiRA offline, with each example's own variance (Carlini et al. 2022)."""

import torch

from attacks.membership._attack import Evidence, Judgement, MembershipAttack, thresholded
from attacks.membership._lira import lira
from attacks.membership._settings import Settings


def lira_offline(evidence: Evidence, settings: Settings, generator: torch.Generator) -> Judgement:
    """Score by how far above references that never saw the example the target lies."""
    del settings, generator
    return thresholded(lira(evidence, online=False, shared=False), evidence)


ATTACK = MembershipAttack(
    lira_offline,
    paper="Carlini et al. 2022, Membership inference attacks from first principles",
    level="standard",
    needs="references",
)
