"""Is what stands at an ε because an attack failed at a larger one really left standing? A sample is tried."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.evasion._attack import Batch, EvasionAttack
from attacks.evasion._search import check, rising
from attacks.evasion._settings import Settings

SAMPLE = 100
"""Examples tried, each at one ε."""
LIMIT = 0.03
"""The share of the sample up to which the inference is let stand; beyond, every ε is attacked."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of the sample."""

    hits: Tensor
    """Which examples of the sample broke where they were inferred to stand, (S,) bool."""
    worst: Tensor
    """(len(grid), N) bool: what is broken, with what the trial found."""

    @property
    def refuted(self) -> bool:
        """Whether the inference was given up, and every ε attacked."""
        return float(self.hits.double().mean()) > LIMIT


def trial(
    attacks: Sequence[EvasionAttack],
    batch: Batch,
    grid: Tensor,
    worst: Tensor,
    inferred: Tensor,
    settings: Settings,
    batch_size: int,
) -> Trial | None:
    """Attack some of what stands by inference where it stands, with the first of the attacks, which are those
    that inferred; if too many break, all of them attack everything that stands, at every ε.

    ``worst`` and ``inferred``: (len(grid), N) bool, apart. None where nothing is inferred.
    """
    places = torch.nonzero(inferred.any(dim=0)).squeeze(1)
    if len(places) == 0 or not attacks:
        return None
    fixed = torch.Generator().manual_seed(len(batch))
    chosen = places[torch.randperm(len(places), generator=fixed)[:SAMPLE].to(places.device)]
    rungs = torch.multinomial(inferred[:, chosen].T.double().cpu(), 1, generator=fixed).squeeze(1).to(chosen)
    hits = torch.zeros(len(chosen), dtype=torch.bool, device=chosen.device)
    for some in torch.split(torch.arange(len(chosen), device=chosen.device), batch_size):
        part = batch.at(chosen[some], grid[rungs[some]])
        hits[some] = check(part, attacks[0].run(part, settings)).broken
    ladder = torch.arange(len(grid), device=grid.device).unsqueeze(1)
    worst = worst.clone()
    worst[:, chosen] |= hits & (ladder >= rungs)
    found = Trial(hits, worst)
    if found.refuted:
        for attack in attacks:
            worst = rising(attack, batch, grid, worst, settings, batch_size)
    return Trial(hits, worst)
