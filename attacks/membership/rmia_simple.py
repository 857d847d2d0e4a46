"""RMIA offline without its population terms: the example's ratio alone (public tools' short form)."""

import torch

from attacks.membership._attack import Evidence, Judgement, MembershipAttack, thresholded
from attacks.membership._rmia import likelihood_ratios
from attacks.membership._settings import Settings


def rmia_simple(evidence: Evidence, settings: Settings, generator: torch.Generator) -> Judgement:
    """Score by P(x | θ) / P(x), which for one target orders as RMIA does, without its ties."""
    del generator
    return thresholded(likelihood_ratios(evidence, settings, online=False), evidence)


ATTACK = MembershipAttack(
    rmia_simple,
    paper="Zarifzadeh et al. 2024, Low-cost high-power membership inference attacks",
    level="quick",
    needs="references",
)
