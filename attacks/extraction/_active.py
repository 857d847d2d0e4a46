"""Attackers who choose what to send by what their copy makes of the pool (ActiveThief, Pal et al. 2020)."""

import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from attacks._model import logits_of
from attacks.extraction._attack import Theft
from attacks.extraction._copy import Copy
from attacks.extraction._settings import Settings

ROUNDS = 5
"""Of choosing, asking and learning, for each budget. The first of all is the pool in its order."""
CANDIDATES = 10_000
"""Inputs of the pool that a round chooses from, at most."""

Choose = Callable[[Tensor, Tensor, int], Tensor]
"""(probabilities that the copy gives to candidates (N, C), to what was asked (M, C), count) → indices of
candidates, (count,)."""


def chosen(theft: Theft, settings: Settings, choose: Choose) -> Iterator[nn.Module]:
    """A copy for each budget, its queries chosen round by round. It takes no more steps than another's."""
    copy = Copy(theft.fresh(), settings, theft.seed)
    left = torch.arange(len(theft.pool), device=theft.pool.device)
    asked, answers = left[:0], torch.zeros(0, theft.num_classes, device=theft.pool.device)
    for start, budget in itertools.pairwise((0, *theft.budgets)):
        ends = [start + (budget - start) * r // ROUNDS for r in range(1, ROUNDS + 1)]
        steps = settings.steps(budget, copy.taken)
        for turn, end in enumerate(ends):
            if end > len(asked):
                place = torch.arange(end - len(asked), device=left.device)
                if len(asked):
                    seen = copy.model(theft.pool[asked])
                    far = left[:CANDIDATES]
                    near = _probabilities(seen, theft.pool[asked])
                    place = choose(_probabilities(seen, theft.pool[far]), near, end - len(asked))
                new = left[place]
                answers = torch.cat([answers, theft.ask(theft.pool[new])])
                asked = torch.cat([asked, new])
                keep = torch.ones(len(left), dtype=torch.bool, device=left.device)
                keep[place] = False
                left = left[keep]
            share = steps * (turn + 1) // ROUNDS - steps * turn // ROUNDS
            if share:
                copy.learn(theft.pool[asked], answers, share)
        yield copy.model(theft.pool[asked])


def _probabilities(model: nn.Module, x: Tensor) -> Tensor:
    logits = logits_of(model, x, batch_size=256, device=x.device)
    return logits.softmax(dim=1).to(x.device)
