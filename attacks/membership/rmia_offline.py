"""RMIA offline: references that never saw the example, and a population (Zarifzadeh et al. 2024)."""

import torch

from attacks.membership._attack import Evidence, Judgement, MembershipAttack, thresholded
from attacks.membership._rmia import rmia
from attacks.membership._settings import Settings


def rmia_offline(evidence: Evidence, settings: Settings, generator: torch.Generator) -> Judgement:
    """Score by the share of the known non-members that the example beats by a factor γ."""
    del generator
    return thresholded(rmia(evidence, settings, online=False), evidence, learnt=True)


ATTACK = MembershipAttack(
    rmia_offline,
    paper="Zarifzadeh et al. 2024, Low-cost high-power membership inference attacks",
    level="standard",
    needs="references",
)
