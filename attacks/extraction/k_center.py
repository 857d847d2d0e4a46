"""ActiveThief by k-centre: send what the copy sees farthest from all that was sent (Pal et al. 2020)."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from attacks.extraction._active import chosen
from attacks.extraction._attack import ExtractionAttack, Theft
from attacks.extraction._settings import Settings


def k_center(theft: Theft, settings: Settings) -> Iterator[nn.Module]:
    """Round by round, the candidates that cover the space of the copy's answers, greedily."""
    return chosen(theft, settings, farthest)


def farthest(candidates: Tensor, asked: Tensor, count: int) -> Tensor:
    """Indices of ``count`` candidates (N, C), each the farthest from ``asked`` (M, C) and from those before
    it: within twice the best radius that any choice gives (Gonzalez 1985)."""
    distance = torch.cdist(candidates, asked).amin(dim=1)
    picked = []
    for _ in range(count):
        best = distance.argmax()
        picked.append(best)
        distance = torch.minimum(distance, (candidates - candidates[best]).norm(dim=1))
        distance[best] = -1
    return torch.stack(picked)


ATTACK = ExtractionAttack(
    k_center,
    level="standard",
    cost=4,
    paper="Pal et al. 2020, ActiveThief: model extraction using active learning and unannotated public data",
)
