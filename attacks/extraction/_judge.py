"""How copies are judged: figures of one attack at one budget, from every copy that it made there."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attacks import _replicates
from attacks._model import logits_of, target_logits
from attacks.evasion import Settings as EvasionSettings
from attacks.evasion import perturbations
from attacks.extraction._settings import Settings
from attacks.probe import Measurement, Target

FIDELITY, ACCURACY = "extraction_fidelity", "surrogate_accuracy"
ON_ERRORS, ON_ADVERSARIAL = "extraction_error_fidelity", "extraction_adversarial_fidelity"
TRANSFER = "surrogate_transfer"
GAIN, QUERIES = "extraction_gain", "extraction_queries"
PER_BUDGET = (FIDELITY, ACCURACY, ON_ERRORS)
ADVERSARIAL = (ON_ADVERSARIAL, TRANSFER)

LUCK = "one copy: the interval lacks the luck of the attacker's training"

UNDER_ATTACK = 200
"""Test examples that adversarial inputs are made of, at most."""

At = Mapping[str, str | int | float]
Agreement = NDArray[np.bool_]
"""Copies × test examples: whether the copy gives the victim's answer."""


class Judge:
    """Holds the victim's answers on the test examples, and what fools it there."""

    def __init__(self, target: Target, settings: Settings) -> None:
        """Raises NotFiniteError if the victim returns NaN, ValueError if it has not a logit a class."""
        self._target, self._settings = target, settings
        self.logits = target_logits(target, target.test)
        self._answers = self.logits.argmax(dim=1)
        self._right = self._answers == target.test.y.cpu()
        self._moved: Tensor | None = None

    def guesses(self, model: nn.Module, x: Tensor | None = None) -> Tensor:
        """The classes that a model gives to inputs, by default to the test examples, (n,) on the CPU."""
        inputs, size = self._target.test.x if x is None else x, self._target.batch_size
        return logits_of(model, inputs, batch_size=size, device=self._target.device).argmax(dim=1)

    def rows(self, copies: Sequence[nn.Module], at: At) -> tuple[list[Measurement], Agreement]:
        """The figures of one attack at one budget, and where each copy gives the victim's answer; ``copies``
        differ in the attacker's luck alone."""
        guesses = torch.stack([self.guesses(copy) for copy in copies])
        agree, wrong = guesses == self._answers, ~self._right
        rows = [
            figure(FIDELITY, agree, "agree", at),
            figure(ACCURACY, guesses == self._target.test.y.cpu(), "correct", at),
            figure(ON_ERRORS, agree[:, wrong], "agree", at, "the victim makes no error here"),
        ]
        if self._settings.adversarial:
            rows += self._under_attack(copies, at)
        return rows, agree.numpy()

    def gain(self, agree: Agreement, without: Agreement, at: At) -> Measurement:
        """What the victim's answers add to the fidelity that as many true labels give, example by example."""
        found = _replicates.gain(agree, without)
        note = LUCK if len(agree) == 1 else ""
        kept = {"gain": (agree.mean(axis=0) - without.mean(axis=0)).astype(np.float32)}
        return Measurement(GAIN, found.value, found.low, found.high, found.n, at, note=note, outcomes=kept)

    def queries(self, agreed: Mapping[int, Agreement], attack: str) -> Measurement:
        """How many queries it takes to reach the fidelity of the settings."""
        reach = self._settings.reach
        at: At = {"attack": attack, "fidelity": reach}
        figures = {budget: _replicates.crossed(hits) for budget, hits in agreed.items()}
        value, low, high = (
            _replicates.crossing([(b, getattr(f, end)) for b, f in figures.items()], reach)
            for end in ("value", "high", "low")
        )
        last = max(figures)
        if value is None:
            note = f"not reached: {last:,} queries give a fidelity of {figures[last].value:.1%}"
            return Measurement(QUERIES, at=at, status="refused", note=note)
        note = "" if high is not None else f"no upper end: {last:,} queries may not be enough"
        if value <= min(figures):
            low, note = 0.0, "; ".join(("the smallest budget is enough", *([note] if note else ())))
        kept = {str(budget): hits.mean(axis=0).astype(np.float32) for budget, hits in agreed.items()}
        return Measurement(QUERIES, value, low, high, figures[last].n, at, note=note, outcomes=kept)

    def _under_attack(self, copies: Sequence[nn.Module], at: At) -> list[Measurement]:
        """How copies and victim follow each other on inputs that were made to fool one of them."""
        target, where = self._target, {**at, "eps": self._settings.radius(self._target.bounds)}
        right, answers = self._right[:UNDER_ATTACK], self._answers[:UNDER_ATTACK]
        if self._moved is None:
            self._moved = self._adversarial(target.model)
        theirs = self.guesses(target.model, self._moved)
        fooled = right & (theirs != answers)
        follows = torch.stack([self.guesses(copy, self._moved) for copy in copies]) == theirs
        carried = torch.stack(
            [self.guesses(target.model, self._adversarial(copy)) != answers for copy in copies]
        )
        nothing = "no input within ε fools the victim"
        return [
            figure(ON_ADVERSARIAL, follows[:, fooled], "agree", where, nothing),
            figure(TRANSFER, carried[:, right], "fooled", where, "the victim is never right"),
        ]

    def _adversarial(self, model: nn.Module) -> Tensor:
        """Test inputs moved by ε (L∞) to raise a model's loss, by steps with momentum (Dong et al. 2018)."""
        target, eps = self._target, self._settings.radius(self._target.bounds)
        test = target.test[:UNDER_ATTACK]
        whole = replace(target, model=model, test=test, features=None, others=None, adaptive=None)
        made = perturbations(whole, EvasionSettings(eps=(eps,), norms=("linf",), level="quick"))["linf"][0]
        return (test.x + eps * made.to(test.x)).clamp(*target.bounds)


def figure(metric: str, hits: Tensor, outcome: str, at: At, empty: str = "") -> Measurement:
    """The mean of ``hits`` (copies, n) with its interval; one that has no examples is refused.

    One copy's outcomes are kept as bools, which pair with another model's example by example. Of several, the
    share of copies is kept for each example, under the outcome's name and ``_share``.
    """
    outcomes = hits.cpu().numpy().astype(np.bool_)
    if outcomes.size == 0:
        note = empty or "there are no examples to measure on"
        return Measurement(metric, at=at, status="refused", note=note)
    found = _replicates.crossed(outcomes)
    alone = len(outcomes) == 1
    kept: dict[str, NDArray[np.generic]] = (
        {outcome: outcomes[0]} if alone else {f"{outcome}_share": outcomes.mean(axis=0).astype(np.float32)}
    )
    note = LUCK if alone else ""
    return Measurement(metric, found.value, found.low, found.high, found.n, at, note=note, outcomes=kept)
