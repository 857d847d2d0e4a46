"""The trainer: one copy that goes on learning as the answers grow."""

import copy
import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import update_bn

from attacks._isolation import global_seed

if TYPE_CHECKING:
    from attacks.extraction._attack import Theft
    from attacks.extraction._settings import Settings

MEMORY = 16
"""The average of the weights reaches back over the last 1/16 of all steps, roughly."""
BETAS = (0.9, 0.98)
"""Of Adam. Its usual 0.999 remembers a thousand steps, more than most copies ever take."""
STATISTICS = 2048
"""Inputs that batch norm's statistics are taken from, at most."""


class Copy:
    """A surrogate in training, by Adam on the cross-entropy to the answers.

    It is trained once for all budgets: when more answers come, it goes on from where it stands, with all that
    it has by then. What is handed over is an average of the weights along the way (Polyak & Juditsky 1992),
    which does in a few hundred steps what a falling learning rate would, and needs no end in sight. Shuffling
    and dropout draw from ``seed`` alone.

    Models are trained one after the other. Stacked with ``torch.func.vmap``, six surrogates take 1.1 (digits)
    to 2.4 (a perceptron) times as long on a processor core, since convolutions become grouped ones; see
    ``benchmarks/extraction.py --stacking``.
    """

    def __init__(self, model: nn.Module, settings: "Settings", seed: int) -> None:
        """``model`` (inputs → logits) is trained in place."""
        self._model, self._settings, self._seed = model.requires_grad_(True), settings, seed
        self._parameters = list(model.parameters())
        self._mean = [p.detach().clone() for p in self._parameters]
        self._optimiser = torch.optim.Adam(
            self._parameters, settings.learning_rate, BETAS, fused=_can_fuse(self._parameters)
        )
        self._order = torch.Generator().manual_seed(seed)
        self.taken = 0
        """Optimiser steps so far."""

    @property
    def device(self) -> torch.device:
        """Where the surrogate lives."""
        return self._parameters[0].device

    def learn(self, x: Tensor, answers: Tensor, steps: int | None = None) -> None:
        """Go on with all answers so far: inputs (N, …) and probability vectors (N, classes).

        ``steps``: by default, as many as the settings say. Raises ArithmeticError if the loss is not finite.
        """
        x, answers = laid_out(self._model, x.to(self.device)), answers.to(self.device)
        batches = _batches(len(x), self._settings.batch_size, self._order)
        loss = torch.zeros(())
        count = self._settings.steps(len(x), self.taken) if steps is None else steps
        self._model.train()
        with global_seed((self._seed + self.taken) % 2**31, self.device), torch.enable_grad():
            for batch in itertools.islice(batches, count):
                batch = batch.to(self.device)
                loss = F.cross_entropy(self._model(x[batch]), answers[batch])
                self._optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                self._optimiser.step()
                self._after_step()
        self._model.eval()
        if not bool(torch.isfinite(loss)):
            raise ArithmeticError(f"the copy's loss is {loss.item()}: lower learning_rate")

    def _after_step(self) -> None:
        self.taken += 1
        weight = MEMORY / (self.taken + MEMORY)
        with torch.no_grad():
            for mean, parameter in zip(self._mean, self._parameters, strict=True):
                mean.lerp_(parameter, weight)

    def model(self, x: Tensor) -> nn.Module:
        """The copy as it is by now, in eval mode, needing no gradient; training can go on.

        ``x``: inputs that it learnt from, for the statistics of batch norm, which belong to these weights.
        """
        twin = copy.deepcopy(self._model)
        with torch.no_grad():
            for parameter, mean in zip(twin.parameters(), self._mean, strict=True):
                parameter.copy_(mean)
        twin.requires_grad_(False)
        x = laid_out(twin, x[:STATISTICS].to(self.device))
        parts = (
            part if len(part) > 1 else part.repeat(2, *[1] * (x.ndim - 1)) for part in torch.split(x, 256)
        )
        with global_seed(self._seed, self.device):
            update_bn(parts, twin)
        return twin.eval()


def laid_out(model: nn.Module, x: Tensor) -> Tensor:
    """Images with their channels last, which trains faster on a CPU, where the model takes them so: one that
    flattens by ``view`` does not."""
    if x.ndim != 4 or len(x) == 0:
        return x
    moved = x.to(memory_format=torch.channels_last)
    was = model.training
    try:
        with torch.no_grad():
            model.eval()(moved[:2])
    except RuntimeError:
        return x
    finally:
        model.train(was)
    return moved


def _batches(count: int, size: int, order: torch.Generator) -> Iterator[Tensor]:
    """Endless batches of indices, all ``count`` of them in each pass. A lone last one comes twice in its
    batch, which changes no mean, and lets batch norm take it."""

    while True:
        for part in torch.randperm(count, generator=order).split(size):  # type: ignore[no-untyped-call]
            yield part.repeat(2) if len(part) == 1 else part


def _can_fuse(parameters: list[nn.Parameter]) -> bool:
    return all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in parameters)


def learnt(theft: "Theft", settings: "Settings", ask: Callable[[Tensor], Tensor]) -> Iterator[nn.Module]:
    """A copy for each budget, trained on the answers of ``ask`` to the pool in its order."""
    grown = Copy(theft.fresh(), settings, theft.seed)
    answers: list[Tensor] = []
    for sent, budget in itertools.pairwise((0, *theft.budgets)):
        answers.append(ask(theft.pool[sent:budget]))
        x = theft.pool[:budget]
        grown.learn(x, torch.cat(answers))
        yield grown.model(x)
