"""Clean accuracy: how often the model is right when nobody attacks it."""

from collections.abc import Sequence

import torch

from attacks._model import target_logits
from attacks._rates import rate
from attacks.probe import Card, Examples, Measurement, Target
from attacks.settings import ProbeSettings

CARD = Card(
    title="Clean accuracy",
    summary="How often the model names the right class on unchanged inputs of the test and training sets.",
    threat_model="None: no one interferes. Every other figure is read against this one.",
    limits="It speaks of the distribution that the test examples come from. A model near chance has no "
    "meaningful robustness or privacy.",
    metrics=("accuracy",),
    papers=(),
    ids=(),
)


class Settings(ProbeSettings):
    """Clean accuracy has nothing to set."""


def run(target: Target, settings: Settings, generator: torch.Generator) -> Sequence[Measurement]:
    """Accuracy on the test split, and on the training split where the members are known."""
    del settings, generator
    rows = [_accuracy(target, target.test, "test")]
    if target.members is None:
        note = "the examples that the model was trained on are not known"
        rows.append(Measurement("accuracy", at={"split": "train"}, status="not_applicable", note=note))
    else:
        rows.append(_accuracy(target, target.members, "train"))
    return rows


def _accuracy(target: Target, examples: Examples, split: str) -> Measurement:
    if len(examples) == 0:
        return rate("accuracy", torch.zeros(0, dtype=torch.bool), "correct", {"split": split})
    correct = target_logits(target, examples).argmax(dim=1) == examples.y.cpu()
    return rate("accuracy", correct, "correct", {"split": split})
