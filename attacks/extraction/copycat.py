"""Copycat CNN: train a copy on nothing but the victim's labels (Correia-Silva et al. 2018)."""

from collections.abc import Iterator

from torch import Tensor, nn

from attacks.extraction._attack import ExtractionAttack, Theft
from attacks.extraction._copy import learnt
from attacks.extraction._settings import Settings


def copycat(theft: Theft, settings: Settings) -> Iterator[nn.Module]:
    """As ``knockoff``, from labels: of an answer, only the likeliest class is kept."""

    def label(x: Tensor) -> Tensor:
        return nn.functional.one_hot(theft.ask(x).argmax(dim=1), theft.num_classes).float()

    return learnt(theft, settings, label)


ATTACK = ExtractionAttack(
    copycat,
    level="standard",
    cost=2,
    sees="labels",
    paper="Correia-Silva et al. 2018, Copycat CNN: stealing knowledge by persuading confession with random "
    "non-labeled data",
)
