"""Semi-supervised: the copy also learns from inputs that it never sends (Jagielski et al. 2020)."""

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from attacks._model import logits_of
from attacks.extraction._attack import ExtractionAttack, Theft
from attacks.extraction._copy import Copy
from attacks.extraction._settings import Settings

TEMPERATURE = 0.5
"""To which guesses are sharpened, as in MixMatch."""
UNLABELLED = 5000
"""Inputs of the pool that are used without being sent, at most."""


def semi_supervised(theft: Theft, settings: Settings) -> Iterator[nn.Module]:
    """Send the pool in its order; of what was not sent, as many inputs again are learnt with the copy's own
    guesses, sharpened, and mixed in pairs (MixMatch without augmentation, Berthelot et al. 2019)."""
    copy = Copy(theft.fresh(), settings, theft.seed)
    own = torch.Generator().manual_seed(theft.seed)
    answers = torch.zeros(0, theft.num_classes, device=theft.pool.device)
    for sent, budget in itertools.pairwise((0, *theft.budgets)):
        answers = torch.cat([answers, theft.ask(theft.pool[sent:budget])])
        x, more = theft.pool[:budget], theft.pool[budget : budget + min(budget, UNLABELLED)]
        steps = settings.steps(budget, copy.taken)
        copy.learn(x, answers, max(1, steps // 2))
        if len(more):
            guessed = sharpened(logits_of(copy.model(x), more, batch_size=256, device=more.device))
            mixed = _mixed(torch.cat([x, more]), torch.cat([answers, guessed.to(answers)]), own)
            copy.learn(*mixed, max(1, steps - steps // 2))
        else:
            copy.learn(x, answers, max(1, steps - steps // 2))
        yield copy.model(x)


def sharpened(logits: Tensor) -> Tensor:
    """Probabilities (N, C) at a lower temperature: more certain than the copy is."""
    return (logits / TEMPERATURE).softmax(dim=1)


def _mixed(x: Tensor, answers: Tensor, own: torch.Generator) -> tuple[Tensor, Tensor]:
    """Each example with a little of another (mixup): the larger part of it is itself, by 87% on average."""
    share = torch.rand(len(x), generator=own).mul(0.25).to(x)
    other = torch.randperm(len(x), generator=own).to(x.device)
    along = share.view(-1, *[1] * (x.ndim - 1))
    return x + along * (x[other] - x), answers + share.unsqueeze(1) * (answers[other] - answers)


ATTACK = ExtractionAttack(
    semi_supervised,
    level="thorough",
    cost=5,
    paper="Jagielski et al. 2020, High accuracy and high fidelity extraction of neural networks",
)
