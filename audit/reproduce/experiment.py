"""The paper's own experiment (§5), run: its net, its training, its schedule as printed and as it must be.

The net is pruned in its hidden layer while it is trained. Every hundred optimiser steps, as the toolkit that
the paper's wrapper comes from does by default, the smallest weights in magnitude are chosen anew, as many as
the schedule has it at that step (Zhu & Gupta 2017), and are held at zero. A schedule that falls frees them.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from attacks.probe import Examples
from audit import plan as plans
from audit.subject import data as subject_data
from audit.subject import models, training
from audit.subject.data import Data
from audit.unit import code_version
from audit.zoo import paper_mlp
from pruning.schedule import polynomial
from reports.claims import Experiment, Figure

EPOCHS, BATCH, STEPS = 10, 32, 1000
"""§5.2's: epochs, batch size, and the steps of its schedule, which are those of its log (errata 8)."""
PRINTED = {"accuracy": 0.8864, "loss": 0.1799, "train_accuracy": 0.8927}
"""§5.2's results: on the test set, and on the training set."""
RECIPE = {"epochs": EPOCHS, "batch_size": BATCH, "optimiser": "adam", "learning_rate": 1e-3}

EVERY = 100
"""Optimiser steps between two choices of what is pruned."""

Schedule = Literal["dense", "falls", "rises"]
SCHEDULES: dict[Schedule, tuple[float, float] | None] = {
    "dense": None,
    "falls": (0.5, 0.0),
    "rises": (0.0, 0.5),
}
"""Not pruned; from 0.5 to 0.0 as printed; the same way up."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One training: what it was, and what it reached."""

    side: int
    """Of the images, in pixels."""
    steps: int
    schedule: Schedule
    seed: int
    accuracy: float
    loss: float
    train_accuracy: float
    sparsity: float
    """Of the hidden layer at the end."""


def trials(
    data: str, root: Path | None, seeds: tuple[int, ...], known: Sequence[Trial] = ()
) -> Iterator[Trial]:
    """Every net, length and schedule on ``data`` ("mnist" or "digits"), seed by seed; but for those that are
    ``known``, trained here.

    Two lengths: the steps of the printed log, and the epochs of the printed program.
    """
    done = {(t.side, t.steps, t.schedule, t.seed): t for t in known}
    for side in (10, 28) if data == "mnist" else (10,):
        examples = _examples(data, root, side)
        assert examples.train is not None
        whole = training.steps(len(examples.train), plans.TrainPlan.model_validate(RECIPE), EPOCHS)
        for length, schedule, seed in product(sorted({STEPS, whole}), SCHEDULES, seeds):
            at = (side, length, schedule, seed)
            yield done[at] if at in done else _trial(examples, *at)


def _examples(data: str, root: Path | None, side: int) -> Data:
    source = {"mnist": "torchvision:MNIST"}.get(data, data)
    native = 28 if data == "mnist" else 8
    table = {
        "model": {"build": "audit.zoo:paper_mlp"},
        "data": {"source": source, "audit_examples": 10_000} | ({} if side == native else {"resize": side}),
        "train": RECIPE,
    }
    return subject_data.load(plans.parse(table, Path("experiment.toml"), root=root))


def _trial(data: Data, side: int, length: int, schedule: Schedule, seed: int) -> Trial:
    """Train the paper's net for ``length`` optimiser steps."""
    assert data.train is not None
    net = models.fresh(lambda: paper_mlp((1, side, side)), seed)
    recipe = plans.TrainPlan.model_validate(RECIPE)
    epochs = -(-length // training.steps(len(data.train), recipe, 1))
    training.train(
        net, data.train, recipe, epochs=epochs, seed=seed, stop=length,
        prepare=pruned(net.get_parameter("1.weight"), SCHEDULES[schedule]),
    )  # fmt: skip
    hidden = net.get_parameter("1.weight")
    accuracy, loss = judged(net, data.test)
    return Trial(
        side, length, schedule, seed, accuracy, loss, judged(net, data.train)[0],
        float((hidden == 0).double().mean()),
    )  # fmt: skip


def pruned(
    weight: nn.Parameter, way: tuple[float, float] | None
) -> Callable[[torch.optim.Optimizer], object]:
    """What holds a weight to a polynomial schedule over the first :data:`STEPS` optimiser steps, and as it is
    then for the rest; nothing without a ``way``, (from, to)."""
    if way is None:
        return lambda optimiser: None
    wanted, taken = polynomial(*way, STEPS), [0]
    gone = torch.zeros_like(weight, dtype=torch.bool)

    def cut(*_: object) -> None:
        taken[0] += 1
        with torch.no_grad():
            if taken[0] <= STEPS and taken[0] % EVERY == 0:
                count = round(wanted[taken[0]] * weight.numel())
                gone.zero_().view(-1)[weight.abs().view(-1).argsort(stable=True)[:count]] = True
            weight.masked_fill_(gone, 0.0)

    return lambda optimiser: optimiser.register_step_post_hook(cut)


def judged(net: nn.Module, examples: Examples) -> tuple[float, float]:
    """Accuracy and mean cross-entropy."""
    with torch.no_grad():
        logits = torch.cat([net(part) for part in torch.split(examples.x, 1024)])
    return float((logits.argmax(1) == examples.y).double().mean()), float(F.cross_entropy(logits, examples.y))


def gathered(
    file: Path, data: str, root: Path | None, seeds: tuple[int, ...], tell: Callable[[str], object]
) -> list[Trial]:
    """All trials; those that ``file`` holds of this version of the code are not done again, and each is kept
    there as soon as it is done."""
    key = {"code": code_version(), "data": data}
    known: list[Trial] = []
    if file.is_file():
        held = json.loads(file.read_text(encoding="utf-8"))
        if held["key"] == key:
            known = [Trial(**trial) for trial in held["trials"]]
        else:
            tell("The paper's experiment is done anew: what is kept of it is of another version.")
    found = []
    for trial in trials(data, root, seeds, known):
        found.append(trial)
        if trial not in known:
            known.append(trial)
            half = file.with_suffix(".tmp")
            half.write_text(json.dumps({"key": key, "trials": [asdict(t) for t in known]}, indent=1), "utf-8")
            half.replace(file)
            tell(f"{named(trial)}, seed {trial.seed}: accuracy {trial.accuracy:.4f}")
    return found


def named(trial: Trial) -> str:
    """What a trial was, for people."""
    ways = {
        "dense": "not pruned",
        "falls": "sparsity falls from 0.5 to 0, as printed",
        "rises": "sparsity rises from 0 to 0.5",
    }
    return f"{trial.side}×{trial.side} inputs, {trial.steps:,} steps, {ways[trial.schedule]}"


def told(found: Sequence[Trial], data: str, command: str) -> Experiment:
    """The trials beside what the paper prints, and why they differ."""
    groups: dict[str, list[Trial]] = {}
    for trial in found:
        groups.setdefault(named(trial), []).append(trial)
    figures = []
    for name, some in groups.items():
        for metric, printed in PRINTED.items():
            values = [getattr(trial, metric) for trial in some]
            label = {"accuracy": "test accuracy", "loss": "test loss", "train_accuracy": "training accuracy"}
            figures.append(Figure(f"{label[metric]}: {name}", f"{printed:.4f}", _spread(values)))
    return Experiment(
        text=f"The paper's net (inputs → 500 ReLU → 10) on {data}, Adam, batch {BATCH}, its hidden layer "
        f"pruned while it is trained: for the {STEPS:,} steps of the printed log, and for the {EPOCHS} "
        f"epochs of the printed program; {len({trial.seed for trial in found})} seeds each, means and "
        "ranges over them.",
        command=command,
        figures=tuple(figures),
        why=tuple(_why(found, groups, data)),
    )


def _why(found: Sequence[Trial], groups: Mapping[str, Sequence[Trial]], data: str) -> Iterator[str]:
    """Why our figures are not the printed ones: from the trials."""
    yield (
        "No run can be the printed one: its program does not run (erratum 4), and its log is not of its "
        "program (erratum 8)."
    )
    if data != "mnist":
        yield f"These are {data}, not MNIST: give --root for MNIST itself."
    near = min(found, key=lambda trial: abs(trial.loss - PRINTED["loss"]))
    yield (
        f"The printed test loss of {PRINTED['loss']} and accuracy of {PRINTED['accuracy']} do not go "
        f"together here: the trial whose loss comes closest, {near.loss:.4f}, has an accuracy of "
        f"{near.accuracy:.4f}."
    )
    for side, length in dict.fromkeys((trial.side, trial.steps) for trial in found):
        ends = {
            schedule: [t for t in found if (t.side, t.steps, t.schedule) == (side, length, schedule)]
            for schedule in SCHEDULES
        }
        left = {schedule: fmean(t.sparsity for t in some) for schedule, some in ends.items()}
        yield (
            f"{side}×{side}, {length:,} steps: the schedule as printed ends with {left['falls']:.1%} of the "
            f"hidden weights at zero, the corrected one with {left['rises']:.1%}; their test accuracies "
            f"differ from that of the net that is not pruned by {_points(ends['falls'], ends['dense'])} and "
            f"{_points(ends['rises'], ends['dense'])} points."
        )


def _points(ours: Sequence[Trial], theirs: Sequence[Trial]) -> str:
    gap = 100 * (fmean(t.accuracy for t in ours) - fmean(t.accuracy for t in theirs))
    return f"{gap:+.2f}".replace("-", "−")


def _spread(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{fmean(values):.4f}" + (f" ({low:.4f}–{high:.4f})" if len(values) > 1 else "")
