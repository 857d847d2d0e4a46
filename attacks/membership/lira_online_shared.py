"""LiRA online, with one variance for all examples, for few models (Carlini et al. 2022)."""

import torch

from attacks.membership._attack import Evidence, Judgement, MembershipAttack, thresholded
from attacks.membership._lira import lira
from attacks.membership._settings import Settings


def lira_online_shared(evidence: Evidence, settings: Settings, generator: torch.Generator) -> Judgement:
    """As ``lira_online``; a standard deviation from a handful of models is worse than a common one."""
    del settings, generator
    return thresholded(lira(evidence, online=True, shared=True), evidence)


ATTACK = MembershipAttack(
    lira_online_shared,
    paper="Carlini et al. 2022, Membership inference attacks from first principles",
    level="quick",
    needs="references",
)
