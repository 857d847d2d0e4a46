"""Clean accuracy: how often the model is right when nobody attacks it."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from attacks._model import target_logits
from attacks._rates import rate
from attacks.probe import Card, Cut, Examples, Measurement, Part, Stage, Target
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
    return CUT.whole(target, settings, generator)


def _piece(
    target: Target, settings: Settings, generator: torch.Generator, known: Part, examples: range
) -> Part:
    """Which of the test examples, and of the members after them, the model gets right."""
    del settings, generator, known
    blocks = [examples[i : i + target.block] for i in range(0, len(examples), target.block)]
    return {"correct": np.concatenate([np.zeros(0, bool), *(_correct(target, block) for block in blocks)])}


def _correct(target: Target, block: range) -> NDArray[np.bool_]:
    n, members = len(target.test), target.members
    some = target.test[block.start : block.stop]
    if members is not None and block.stop > n:
        rest = members[max(block.start - n, 0) : block.stop - n]
        some = Examples(torch.cat([some.x, rest.x]), torch.cat([some.y, rest.y]))
    hits: NDArray[np.bool_] = (target_logits(target, some).argmax(dim=1) == some.y.cpu()).numpy()
    return hits


def _join(
    target: Target, settings: Settings, generator: torch.Generator, known: Part
) -> Sequence[Measurement]:
    del settings, generator
    correct, n = torch.from_numpy(known["correct"]), len(target.test)
    rows = [rate("accuracy", correct[:n], "correct", {"split": "test"})]
    if target.members is None:
        note = "the examples that the model was trained on are not known"
        rows.append(Measurement("accuracy", at={"split": "train"}, status="not_applicable", note=note))
    else:
        rows.append(rate("accuracy", correct[n:], "correct", {"split": "train"}))
    return rows


PASSES = 1 / 3
"""Forward passes alone: a third of what both ways take."""

CUT = Cut(
    (Stage("count", lambda sizes, settings: sizes.test + sizes.members, lambda settings: PASSES, _piece),),
    _join,
)
