"""A few of the inputs that break a model, kept so that a reader of the results can look at them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attacks.evasion._attack import Batch, EvasionAttack
from attacks.evasion._search import check
from attacks.evasion._settings import Settings

KEPT = 3
"""Examples of a model and norm."""
LARGEST = 3 * 64 * 64
"""Values of the largest input that is kept: evidence must not outgrow the figures."""


@dataclass(frozen=True, slots=True)
class Broken:
    """Examples broken at one rung of the grid."""

    rung: int
    arrays: Mapping[str, NDArray[np.generic]]
    """Each with K ≤ :data:`KEPT` rows: ``example`` (place among the test examples), ``clean`` and
    ``adversarial`` (K, C, H, W) float32, ``label``, and ``answer``: what the model says of the latter."""


def broken_examples(
    attacks: Mapping[str, EvasionAttack],
    shape: torch.Size,
    batch_of: Callable[[Tensor], Batch],
    grid: Tensor,
    worst: Tensor,
    right: Tensor,
    settings: Settings,
) -> Broken | None:
    """The first pictures broken at the ε that breaks nearest to half of them; None where there are none.

    The attacks run once more on these alone, from cheap to dear: an attack gives the same result whatever
    its batch. ``shape``: of one input; ``batch_of``: which of N examples → a batch of them; ``worst``:
    (len(grid), N) bool over these; ``right``: where they stand among all.
    """
    if len(shape) != 3 or shape[0] not in (1, 3) or shape.numel() > LARGEST or not worst.any():
        return None
    share = worst.double().mean(dim=1)
    rung = int(torch.where(share > 0, (share - 0.5).abs(), torch.inf).argmin())
    index = torch.nonzero(worst[rung]).squeeze(1)[:KEPT]
    batch = batch_of(index)
    part = replace(batch, eps=grid[rung].expand(len(index)).to(batch.x))
    found, open_ = part.x.clone(), torch.ones(len(index), dtype=torch.bool, device=index.device)
    for attack in attacks.values():
        if attack.search == "distance" or not open_.any():
            continue
        rest = torch.nonzero(open_).squeeze(1)
        some = part.at(rest, part.eps[rest])
        candidates = attack.run(some, settings)
        hit = check(some, candidates).broken
        found[rest[hit]] = candidates[hit]
        open_[rest[hit]] = False
    kept = torch.nonzero(~open_).squeeze(1)
    if len(kept) == 0:
        return None
    with torch.no_grad():
        answer = batch.model(found[kept]).argmax(dim=1)
    arrays = {
        "example": torch.nonzero(right).squeeze(1)[index[kept]],
        "clean": part.x[kept],
        "adversarial": found[kept],
        "label": part.y[kept],
        "answer": answer,
    }
    return Broken(rung, {name: values.cpu().numpy() for name, values in arrays.items()})
