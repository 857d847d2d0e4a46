"""The Adversarial Robustness Toolbox's ``KnockoffNets`` with random sampling, anew at every budget."""

from collections.abc import Iterator

from torch import nn

from attacks.extraction import _art
from attacks.extraction._attack import ExtractionAttack, Theft
from attacks.extraction._settings import Settings


def art_knockoff(theft: Theft, settings: Settings) -> Iterator[nn.Module]:
    """Query the victim once for every input of the budget and train the surrogate on its probabilities."""
    # Imported here: it takes seconds, which a command that attacks nothing should not pay.
    from art.attacks.extraction import KnockoffNets

    return _art.each_budget(
        theft,
        settings,
        lambda victim, common: KnockoffNets(
            victim, **common, sampling_strategy="random", use_probability=True, verbose=False
        ),
    )


ATTACK = ExtractionAttack(
    art_knockoff,
    cost=100,
    paper="Orekondy et al. 2019, Knockoff nets: stealing functionality of black-box models",
)
