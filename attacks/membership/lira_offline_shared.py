"""LiRA offline, with one variance for all examples, for few models (Carlini et al. 2022)."""

import torch

from attacks.membership._attack import Evidence, Judgement, MembershipAttack, thresholded
from attacks.membership._lira import lira
from attacks.membership._settings import Settings


def lira_offline_shared(evidence: Evidence, settings: Settings, generator: torch.Generator) -> Judgement:
    """As ``lira_offline``; a standard deviation from a handful of models is worse than a common one."""
    del settings, generator
    return thresholded(lira(evidence, online=False, shared=True), evidence)


ATTACK = MembershipAttack(
    lira_offline_shared,
    paper="Carlini et al. 2022, Membership inference attacks from first principles",
    level="standard",
    needs="references",
)
