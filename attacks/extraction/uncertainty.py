"""ActiveThief by uncertainty: send what the copy is least sure of (Pal et al. 2020, section 4.2)."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from attacks.extraction._active import chosen
from attacks.extraction._attack import ExtractionAttack, Theft
from attacks.extraction._settings import Settings


def uncertainty(theft: Theft, settings: Settings) -> Iterator[nn.Module]:
    """Round by round, the candidates to which the copy's answer has the highest entropy."""
    return chosen(theft, settings, most_uncertain)


def most_uncertain(candidates: Tensor, asked: Tensor, count: int) -> Tensor:
    """Indices of the ``count`` candidates (N, C) of highest entropy."""
    del asked
    entropy: Tensor = torch.special.entr(candidates).sum(dim=1)
    return entropy.topk(count).indices


ATTACK = ExtractionAttack(
    uncertainty,
    level="standard",
    cost=3,
    paper="Pal et al. 2020, ActiveThief: model extraction using active learning and unannotated public data",
)
