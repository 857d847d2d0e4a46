"""Jacobian-based augmentation: make queries from few inputs, towards the edges (Papernot et al. 2017)."""

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from attacks.extraction._attack import ExtractionAttack, Theft
from attacks.extraction._copy import Copy
from attacks.extraction._settings import Settings

STEP = 0.1
"""Length λ of a step, as a share of the bounds' width; the paper's on MNIST."""


def jacobian(theft: Theft, settings: Settings) -> Iterator[nn.Module]:
    """Half of the smallest budget goes to inputs of the pool. All others are made: every input asked so far,
    moved by λ along the sign of the gradient of the copy's logit of the victim's label; the sign changes from
    one doubling to the next, as in the paper's periodic step."""
    copy = Copy(theft.fresh(), settings, theft.seed)
    first = min(len(theft.pool), max(1, theft.budgets[0] // 2))
    x, answers = theft.pool[:first], theft.ask(theft.pool[:first])
    step = STEP * (theft.bounds[1] - theft.bounds[0])
    for budget in theft.budgets:
        rounds = _doublings(len(x), budget)
        whole = settings.steps(budget, copy.taken)
        spans = [whole * i // (len(rounds) + 1) for i in range(len(rounds) + 2)]
        copy.learn(x, answers, max(1, spans[1]))
        for count, (start, stop) in zip(rounds, itertools.pairwise(spans[1:]), strict=True):
            new = _moved(copy.model(x), x[:count], answers[:count], step).clamp(*theft.bounds)
            x, answers = torch.cat([x, new]), torch.cat([answers, theft.ask(new)])
            step = -step
            copy.learn(x, answers, max(1, stop - start))
        yield copy.model(x)


def _doublings(have: int, budget: int) -> list[int]:
    """How many inputs are added in each round: as many as there are, until the budget is spent."""
    rounds = []
    while have < budget:
        rounds.append(min(have, budget - have))
        have += rounds[-1]
    return rounds


def _moved(model: nn.Module, x: Tensor, answers: Tensor, step: float) -> Tensor:
    parts = []
    for inputs, label in zip(torch.split(x, 256), torch.split(answers.argmax(dim=1), 256), strict=True):
        with torch.enable_grad():
            leaf = inputs.clone().requires_grad_(True)
            logit = model(leaf).gather(1, label.unsqueeze(1)).sum()
            (gradient,) = torch.autograd.grad(logit, leaf)
        parts.append(inputs + step * gradient.sign())
    return torch.cat(parts)


ATTACK = ExtractionAttack(
    jacobian,
    level="thorough",
    cost=6,
    sees="probabilities",
    sends="made",
    paper="Papernot et al. 2017, Practical black-box attacks against machine learning",
)
