"""Knockoff nets: train a copy on the victim's answers to inputs drawn at random (Orekondy et al. 2019)."""

from collections.abc import Iterator

from torch import nn

from attacks.extraction._attack import ExtractionAttack, Theft
from attacks.extraction._copy import learnt
from attacks.extraction._settings import Settings


def knockoff(theft: Theft, settings: Settings) -> Iterator[nn.Module]:
    """Send the pool in its order, and go on training with every answer so far."""
    return learnt(theft, settings, theft.ask)


ATTACK = ExtractionAttack(
    knockoff,
    level="quick",
    cost=1,
    paper="Orekondy et al. 2019, Knockoff nets: stealing functionality of black-box models",
)
