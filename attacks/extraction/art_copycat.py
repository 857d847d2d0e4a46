"""The Adversarial Robustness Toolbox's ``CopycatCNN``, anew at every budget."""

from collections.abc import Iterator

from torch import nn

from attacks.extraction import _art
from attacks.extraction._attack import ExtractionAttack, Theft
from attacks.extraction._settings import Settings


def art_copycat(theft: Theft, settings: Settings) -> Iterator[nn.Module]:
    """Query the victim once for every input of the budget and train the surrogate on its labels."""
    # Imported here: it takes seconds, which a command that attacks nothing should not pay.
    from art.attacks.extraction import CopycatCNN

    return _art.each_budget(
        theft, settings, lambda victim, common: CopycatCNN(victim, **common, use_probability=False)
    )


ATTACK = ExtractionAttack(
    art_copycat,
    cost=101,
    sees="labels",
    paper="Correia-Silva et al. 2018, Copycat CNN: stealing knowledge by persuading confession with random "
    "non-labeled data",
)
