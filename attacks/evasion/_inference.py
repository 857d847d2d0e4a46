"""Is what stands at an ε because an attack failed at a larger one really left standing? A sample is tried."""

from collections.abc import Mapping
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
    """Which examples of the sample broke where they were inferred to stand, (S,) bool; S is at least 1."""

    @property
    def refuted(self) -> bool:
        """Whether the inference is given up, and every ε attacked."""
        return float(self.hits.double().mean()) > LIMIT


def sample(inferred: Tensor) -> tuple[Tensor, Tensor]:
    """Of what stands by inference, (len(grid), N) bool, some examples, (S,), and at which rung of the grid
    each is to be tried, (S,)."""
    places = torch.nonzero(inferred.any(dim=0)).squeeze(1)
    fixed = torch.Generator().manual_seed(inferred.shape[1])
    chosen = places[torch.randperm(len(places), generator=fixed)[:SAMPLE].to(places.device)]
    if len(chosen) == 0:
        return chosen, chosen
    rungs = torch.multinomial(inferred[:, chosen].T.double().cpu(), 1, generator=fixed).squeeze(1).to(chosen)
    return chosen, rungs


def inferring(attacks: Mapping[str, EvasionAttack]) -> list[EvasionAttack]:
    """Those that infer, from cheap to dear."""
    return [attack for attack in attacks.values() if attack.search == "smallest" and not attack.together]


def tried(attack: EvasionAttack, batch: Batch, settings: Settings, batch_size: int) -> Tensor:
    """Which of the sample break where they are inferred to stand, (N,) bool."""
    hits = torch.zeros(len(batch), dtype=torch.bool, device=batch.x.device)
    for some in torch.split(torch.arange(len(batch), device=batch.x.device), batch_size):
        part = batch.at(some, batch.eps[some])
        hits[some] = check(part, attack.run(part, settings)).broken
    return hits


def taken_in(worst: Tensor, chosen: Tensor, rungs: Tensor, hits: Tensor) -> Tensor:
    """What is broken, (len(grid), N) bool, with what the sample showed."""
    ladder = torch.arange(len(worst), device=worst.device).unsqueeze(1)
    found = worst.clone()
    found[:, chosen] |= hits & (ladder >= rungs)
    return found


def everything(
    attacks: Mapping[str, EvasionAttack],
    batch: Batch,
    grid: Tensor,
    worst: Tensor,
    settings: Settings,
    batch_size: int,
) -> Tensor:
    """``worst``, (len(grid), N) bool, once all that infer have attacked what stands, at every ε."""
    for attack in inferring(attacks):
        worst = rising(attack, batch, grid, worst, settings, batch_size)
    return worst
