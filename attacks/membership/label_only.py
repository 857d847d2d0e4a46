"""Label only: how far the decision boundary is, found by RayS (Choquette-Choo et al. 2021)."""

import torch

from attacks.membership._attack import Evidence, Judgement, MembershipAttack, UnfitError, thresholded
from attacks.membership._settings import Settings


def label_only(evidence: Evidence, settings: Settings, generator: torch.Generator) -> Judgement:
    """Score each example by its distance to the boundary; 0 where the model errs on it."""
    del settings, generator
    if evidence.distances is None:
        raise UnfitError("no distances to the decision boundary were measured")
    return thresholded(evidence.distances, evidence)


ATTACK = MembershipAttack(
    label_only,
    paper="Choquette-Choo et al. 2021, Label-only membership inference attacks",
    level="thorough",
    needs="labels",
)
