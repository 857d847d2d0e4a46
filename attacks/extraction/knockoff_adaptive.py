"""Knockoff nets, adaptive: learn which kinds of input pay, and send more of them (Orekondy et al. 2019)."""

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from attacks._model import logits_of
from attacks.extraction._attack import ExtractionAttack, Theft
from attacks.extraction._copy import Copy
from attacks.extraction._settings import Settings

ROUNDS = 10
"""Of drawing, asking and learning, for each budget."""
RATE = 10.0
"""How fast the policy follows rewards, as in the paper's code."""


def knockoff_adaptive(theft: Theft, settings: Settings) -> Iterator[nn.Module]:
    """A gradient bandit over the kinds (the attacker's own labels of its pool), in batches. An answer is
    worth its certainty, what it adds to the diversity of answers, and the copy's loss on it (section 4.2)."""
    if theft.kinds is None:
        raise ValueError("the attacker's inputs have no kinds to choose among")
    copy, bandit = Copy(theft.fresh(), settings, theft.seed), _Bandit(theft.kinds, theft.seed)
    asked = torch.zeros(0, dtype=torch.int64)
    answers = torch.zeros(0, theft.num_classes, device=theft.pool.device)
    for start, budget in itertools.pairwise((0, *theft.budgets)):
        steps = settings.steps(budget, copy.taken)
        for turn in range(ROUNDS):
            count = start + (budget - start) * (turn + 1) // ROUNDS - len(asked)
            if count:
                new = bandit.draw(count)
                answer = theft.ask(theft.pool[new.to(theft.pool.device)])
                bandit.learn(new, _rewards(copy, theft.pool[new.to(theft.pool.device)], answer, answers))
                asked, answers = torch.cat([asked, new]), torch.cat([answers, answer])
            share = steps * (turn + 1) // ROUNDS - steps * turn // ROUNDS
            if share:
                copy.learn(theft.pool[asked.to(theft.pool.device)], answers, share)
        yield copy.model(theft.pool[asked.to(theft.pool.device)])


def _rewards(copy: Copy, x: Tensor, answer: Tensor, before: Tensor) -> NDArray[np.float64]:
    """(N, 3): certainty, diversity, loss."""
    top = answer.topk(2, dim=1).values
    mean = before.mean(dim=0) if len(before) else torch.full_like(answer[0], 1 / answer.shape[1])
    logits = logits_of(copy.model(x), x, batch_size=256, device=x.device).to(answer)
    parts = (
        top[:, 0] - top[:, 1],
        (answer - mean).clamp(min=0).sum(dim=1),
        F.cross_entropy(logits, answer, reduction="none"),
    )
    return torch.stack(parts, dim=1).double().cpu().numpy()


class _Bandit:
    """A softmax policy over kinds (Sutton & Barto 2018, section 2.8), which draws without replacement."""

    def __init__(self, kinds: Tensor, seed: int) -> None:
        self._of = kinds.cpu().numpy()
        self._names = np.unique(self._of)
        self._left = {k: list(np.flatnonzero(self._of == k)) for k in self._names}
        self._worth = dict.fromkeys(self._names.tolist(), 0.0)
        self._random = np.random.default_rng(seed)
        self._seen: list[NDArray[np.float64]] = []

    def policy(self) -> NDArray[np.float64]:
        """The probability of each kind; of one that is used up, zero."""
        worth = np.array([self._worth[k] if self._left[k] else -np.inf for k in self._names.tolist()])
        weight = np.exp(worth - worth.max())
        return np.asarray(weight / weight.sum())

    def draw(self, count: int) -> Tensor:
        """Indices of inputs that were not drawn before, (count,)."""
        found = []
        for _ in range(count):
            kind = self._random.choice(self._names, p=self.policy())
            mine = self._left[kind]
            found.append(mine.pop(0))
        return torch.tensor(np.array(found), dtype=torch.int64)

    def learn(self, drawn: Tensor, rewards: NDArray[np.float64]) -> None:
        """Raise the worth of kinds that paid more than the average so far; each reward in its own spread."""
        self._seen.append(rewards)
        known = np.concatenate(self._seen)
        scaled = ((rewards - known.mean(axis=0)) / (known.std(axis=0) + 1e-12)).mean(axis=1)
        share = dict(zip(self._names.tolist(), self.policy(), strict=True))
        for kind, gain in zip(self._of[drawn.numpy()].tolist(), scaled.tolist(), strict=True):
            for other in share:
                push = (other == kind) - share[other]
                self._worth[other] += RATE * gain * push / len(self._of)


ATTACK = ExtractionAttack(
    knockoff_adaptive,
    level="thorough",
    cost=7,
    paper="Orekondy et al. 2019, Knockoff nets: stealing functionality of black-box models",
)
