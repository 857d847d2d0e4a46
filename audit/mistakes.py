"""Which mistake a model's figures look like: one function a mistake, each with its likely cause and cure."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.stats import binomtest, fisher_exact
from torch import Tensor

from audit.evidence import BATCH, LONE, Evidence, Treatment
from audit.plan import Mistake as Name

LEVEL = 1e-4
"""A difference is taken for one that chance makes in fewer cases than this."""
GAIN = 0.05
"""And it must be a gain of so much accuracy."""
LOSS = 0.1
"""From so much lost accuracy on, an audit would be one of another model."""
NEAR = 0.02
"""Treatments whose gains are no further apart are alike: the plainest is named."""
SHARED = 0.01
"""Share of held-out examples among the training ones from which on it is said; data sets have some twins."""
MANY = 0.1
"""Share of them from which on nothing held out is measured."""
TOLERANCE = 0.02
"""How far accuracy may be from ``expected_accuracy``, beside what so few examples leave open."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """What looks wrong. ``serious``: every figure of an audit would be wrong with it, and none is run."""

    name: Name
    what: str
    cause: str
    cure: str
    serious: bool = True

    def __str__(self) -> str:
        return f"{self.name}: {self.what}. Likely cause: {self.cause}. Cure: {self.cure}."


def of(evidence: Evidence, *, trained: bool = True) -> list[Mistake]:
    """Every mistake that one model's outputs look like; of one that is not trained yet, only those of its
    making."""
    if nan := not_finite(evidence):
        return [nan]  # nothing else can be read from them
    found = [check(evidence) for check in (CHECKS if trained else MAKING)]
    return [mistake for mistake in found if mistake is not None]


def not_finite(evidence: Evidence) -> Mistake | None:
    """NaN or infinity among the outputs."""
    bad = int((~torch.isfinite(evidence.logits)).any(1).sum())
    if not bad:
        return None
    return Mistake(
        "not-finite",
        f"outputs are NaN or infinite on {bad} of {len(evidence.y)} test examples",
        "a division by zero or a logarithm of zero in the model, or inputs in another range than it expects",
        "find the layer with torch.autograd.detect_anomaly or by hooks, and check [data] bounds and "
        "[model] normalise",
    )


def stuck(evidence: Evidence) -> Mistake | None:
    """Train mode after ``.eval()``: outputs that change from call to call, or with the rest of the batch."""
    first = evidence.logits[: len(evidence.again)]
    tolerance = 1e-3 * max(1.0, float(first.abs().max()))
    lone = evidence.alone
    if evidence.training:
        what = f"after .eval(), {', '.join(evidence.training[:3])} is still in train mode"
    elif float((first - evidence.again).abs().max()) > tolerance:
        what = "the same inputs get other outputs the second time"
    elif isinstance(lone, str):
        what = f"a batch of one example fails: {lone}"
    elif float((first[:LONE] - lone).abs().max()) > tolerance:
        what = f"an example gets other outputs alone than in a batch of {BATCH}"
    else:
        return None
    return Mistake(
        "train-mode",
        what,
        "dropout or batch norm works as in training: F.dropout without training=self.training, batch norm "
        "with track_running_stats=False, or a train() of the model's own that ignores its argument; or the "
        "model is random on purpose",
        "make the model's answer to an example depend on that example alone after .eval()",
    )


def probabilities(evidence: Evidence) -> Mistake | None:
    """Outputs that are probabilities instead of logits."""
    logits = evidence.logits
    if float(logits.min()) < 0 or float(logits.max()) > 1 or constant(evidence):
        return None
    one = bool(((logits.sum(1) - 1).abs() < 1e-3).all())
    return Mistake(
        "probabilities",
        f"all outputs are between 0 and 1{' and add up to 1 for each example' if one else ''}",
        f"the model ends with a {'softmax' if one else 'sigmoid'}",
        "return what goes into it: attacks climb logits, and their gradients vanish behind it",
    )


def constant(evidence: Evidence) -> Mistake | None:
    """The same outputs whatever the input, or one class for all examples of several."""
    spread = float((evidence.logits - evidence.logits[:1]).abs().max())
    named = sorted(set(evidence.logits.argmax(1).tolist()))
    if spread <= 1e-6 * max(1.0, float(evidence.logits.abs().max())):
        what = "the outputs are the same for every example"
    elif len(named) == 1 and _several(evidence) and _above(evidence.y != named[0], 0.05):
        what = f"every example is taken for class {evidence.classes[named[0]]!r}"
    else:
        return None
    return Mistake(
        "constant",
        what,
        "weights that are not this model's, inputs in another range than it was trained on, or a training "
        "that collapsed",
        "check [model] weights, [data] bounds and [model] normalise",
    )


def treatment(evidence: Evidence) -> Mistake | None:
    """Inputs normalised twice, never or otherwise, in another range, or channels in reverse order."""
    best, gain = _best(evidence)
    if best is None or gain + GAIN < _gain(evidence):
        return None
    serious = gain >= LOSS
    here, there = _percent(evidence.right[: len(evidence.others[best])]), _percent(evidence.right_under(best))
    what = f"accuracy is {here} as the plan says and {there} {best.name} (n = {len(evidence.others[best])})"
    if best.reversed_channels:
        return Mistake(
            "channels-reversed",
            what,
            "the model was trained on BGR images (OpenCV's order) and the data is RGB, or the other way",
            "reverse the channels where the data is read, or in the model: x.flip(1)",
            serious,
        )
    line = f"normalise = {{ mean = {_list(best.mean)}, std = {_list(best.std)} }}"
    if best.undoes:
        return Mistake(
            "normalised-twice", what,
            "the inputs are normalised already, and so does the model inside (or [model] normalise)",
            f"give the inputs as they are, in [0, 1]; or take it back inside the audited model: {line}",
            serious,
        )  # fmt: skip
    if not best.mean:
        return Mistake(
            "normalised-twice",
            what,
            "the data or the model itself normalises already",
            "remove [model] normalise",
            serious,
        )
    if not evidence.normalised:
        return Mistake(
            "not-normalised",
            what,
            "the model was trained on inputs that were normalised or scaled before it",
            f"say so in [model], as it was in the training, such as {line}",
            serious,
        )
    return Mistake(
        "normalised-otherwise",
        what,
        "the model was trained with another normalisation",
        f"say it in [model] as it was in the training, such as {line}",
        serious,
    )


def labels(evidence: Evidence) -> Mistake | None:
    """Labels in another order than the model's outputs: the best assignment says in which."""
    gain = _gain(evidence)
    if not gain or gain <= _best(evidence)[1] + GAIN:
        return None
    order = _assignment(evidence.logits.argmax(1), evidence.y, len(evidence.classes))
    count, names = len(order), evidence.classes
    mapped = torch.as_tensor(order)[evidence.logits.argmax(1)] == evidence.y
    what = (
        f"accuracy is {_percent(evidence.right)}, and {_percent(mapped)} with the classes in another order "
        f"(n = {len(evidence.y)})"
    )
    for step, said in ((1, "from 1 in the model and from 0 in the data"), (-1, "from 1 in the data")):
        if np.mean(order == (np.arange(count) - step) % count) > 0.9 and count > 2:
            return Mistake(
                "labels-off-by-one", what, f"labels count {said}, or a background class was added or dropped",
                "shift the labels in your data function, or the outputs in the model",
            )  # fmt: skip
    listed = ", ".join(f'"{names[i]}"' for i in order)
    plain = names == tuple(str(i) for i in range(count))
    return Mistake(
        "labels-permuted" if plain else "class-order",
        what,
        "the model's outputs stand in another order than the labels: "
        + ("labels were renumbered" if plain else "classes are numbered by the alphabet where they are read"),
        f"renumber the labels: the outputs look like [{listed}]"
        if plain
        else f"say so in [data]: class_order = [{listed}]",
    )


def chance(evidence: Evidence) -> Mistake | None:
    """Accuracy no better than naming the commonest class."""
    if constant(evidence) or treatment(evidence) or labels(evidence):
        return None
    commonest = float(evidence.y.bincount().max() / len(evidence.y))
    if not _several(evidence) or _above(evidence.right, commonest, 0.05):
        return None
    return Mistake(
        "chance",
        f"accuracy is {_percent(evidence.right)}, no better than always naming the commonest class "
        f"({commonest:.1%}, n = {len(evidence.y)})",
        "weights that are not this model's or were never trained, or data of another kind",
        "check [model] weights and [data] source; an audit of such a model says nothing",
        serious=False,
    )


def strangers(evidence: Evidence) -> Mistake | None:
    """Training examples that the model does worse on than on held-out ones: it was not trained on them."""
    train = evidence.train_right
    if train is None:
        return None
    counts = [[int(right.sum()), int((~right).sum())] for right in (evidence.right, train)]
    worse = float(evidence.right.float().mean() - train.float().mean())
    if worse < 0.05 or fisher_exact(counts, "greater").pvalue > LEVEL:
        return None
    return Mistake(
        "train-not-members",
        f"accuracy is {_percent(train)} on the training examples and {_percent(evidence.right)} on held-out "
        "ones",
        "the train pair is not what the model was trained on, is augmented, or the two are exchanged",
        "give the very examples of the training: with others the membership figures mean nothing",
        serious=False,
    )


MAKING: tuple[Callable[[Evidence], Mistake | None], ...] = (stuck, probabilities)
CHECKS = (*MAKING, constant, treatment, labels, chance, strangers)


def shared(count: int, held: int) -> Mistake | None:
    """Held-out examples among the training ones: ``count`` of ``held``."""
    if count < SHARED * held or not count:
        return None
    return Mistake(
        "test-in-train",
        f"{count} of {held} held-out examples ({count / held:.1%}) are among the training examples too",
        "the data was split after it was copied or augmented, or test and train are the same",
        "take them out of one of the two: accuracy is too high with them, and membership cannot tell them",
        serious=count >= MANY * held,
    )


def inputs_normalised(x: Tensor) -> Mistake | None:
    """Images (N, C, H, W) that look normalised already: ε is in their units then, not in pixels."""
    if x.ndim != 4 or float(x.min()) >= 0 or float(x.abs().max()) <= 1:
        return None
    mean, std = x.mean((0, 2, 3)), x.std((0, 2, 3))
    if bool((mean.abs() > 1).any()) or bool(((std < 0.3) | (std > 2)).any()):
        return None
    return Mistake(
        "inputs-normalised",
        f"inputs span [{float(x.min()):.3g}, {float(x.max()):.3g}] with means near 0 and deviations near 1",
        "the data source normalises the images",
        "give them as pixels in [0, 1] and say [model] normalise: ε, bounds and corruptions are in pixels "
        "then, as everywhere else; ε = 8/255 of normalised inputs is about a quarter of that of pixels",
        serious=False,
    )


def unexpected(evidence: Evidence, expected: float | None) -> Mistake | None:
    """Accuracy other than the plan's ``expected_accuracy``."""
    if expected is None:
        return None
    right = int(evidence.right.sum())
    interval = binomtest(right, len(evidence.y)).proportion_ci(0.99)
    if interval.low - TOLERANCE <= expected <= interval.high + TOLERANCE:
        return None
    return Mistake(
        "unexpected-accuracy",
        f"accuracy is {_percent(evidence.right)} (n = {len(evidence.y)}) and [model] expected_accuracy is "
        f"{expected:.1%}",
        "weights, data, labels or normalisation are not those of the figure",
        "see what else is said here; or mend expected_accuracy",
    )


def accuracy(evidence: Evidence) -> str:
    """Clean accuracy for people: of test and training examples, and without the plan's normalisation."""
    said = [f"{_percent(evidence.right)} of {len(evidence.y)} test examples"]
    if evidence.train_right is not None:
        said.append(f"{_percent(evidence.train_right)} of {len(evidence.train_right)} training examples")
    for other in evidence.others:
        if evidence.normalised and not other.mean and not other.reversed_channels:
            there = evidence.right_under(other)
            said.append(f"{_percent(there)} of {len(there)} test examples {other.name}")
    return "; ".join(said)


def _best(evidence: Evidence) -> tuple[Treatment | None, float]:
    """The plainest of the treatments with which accuracy is highest, and by how much; None if by chance."""
    gains = {}
    for candidate in evidence.others:
        there = evidence.right_under(candidate)
        gains[candidate] = _beyond(evidence.right[: len(there)], there)
    most = max(gains.values(), default=0.0)
    if not most:
        return None, 0.0
    return next((candidate, gain) for candidate, gain in gains.items() if gain >= max(GAIN, most - NEAR))


def _gain(evidence: Evidence) -> float:
    """What the best order of classes, found on one half of the examples, gains on the other half."""
    named, y = evidence.logits.argmax(1), evidence.y
    order = torch.as_tensor(_assignment(named[::2], y[::2], len(evidence.classes)))
    return _beyond((named == y)[1::2], (order[named] == y)[1::2])


def _assignment(named: Tensor, y: Tensor, classes: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """For each output the label that it most likely stands for, each label once (the Hungarian method).

    Of outputs that nothing speaks of, as many as possible stand for themselves.
    """
    counts = np.zeros((classes, classes))
    np.add.at(counts, (named.numpy(), y.numpy()), 1)
    _, order = linear_sum_assignment(-(counts + 1e-6 * np.eye(classes)))
    return np.asarray(order, dtype=np.int64)


def _beyond(here: Tensor, there: Tensor) -> float:
    """How much more often ``there`` is right than ``here``, on the same examples; 0 where chance may do it
    (exact McNemar) or it is less than ``GAIN``."""
    gained, lost = int((there & ~here).sum()), int((here & ~there).sum())
    gain = (gained - lost) / max(1, len(here))
    if gain < GAIN or binomtest(gained, gained + lost, alternative="greater").pvalue > LEVEL:
        return 0.0
    return gain


def _above(right: Tensor, share: float, level: float = LEVEL) -> bool:
    """Whether the true share is above ``share``, by the exact binomial test."""
    return bool(binomtest(int(right.sum()), len(right), share, alternative="greater").pvalue < level)


def _several(evidence: Evidence) -> bool:
    """Whether the examples are of more than one class."""
    return bool((evidence.y != evidence.y[0]).any())


def _percent(right: Tensor) -> str:
    return f"{float(right.float().mean()):.1%}"


def _list(values: tuple[float, ...]) -> str:
    return "[" + ", ".join(f"{value:.4g}" for value in values) + "]"
