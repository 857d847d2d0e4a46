"""What preflight looks at: the model's outputs on examples that are known, under inputs treated otherwise."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b

import torch
from torch import Tensor, nn

from attacks.probe import Examples
from audit.plan import Plan
from audit.subject import models
from audit.subject.data import Data

BATCH = 64
EXAMPLES = 1000
"""At most so many test, and so many training examples."""
FEWEST = 128
"""On a slow model still so many, whatever they take."""
SECONDS = 4.0
"""About what the outputs of one model on the test examples may take; the rest is a fraction of that."""
TRIED = 512
"""Test examples that other treatments of the inputs are tried on."""
LONE = 4
"""Examples that are looked at in batches of their own."""

STATISTICS: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "ImageNet's": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "CIFAR-10's": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "CIFAR-100's": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "MNIST's": ((0.1307,), (0.3081,)),
    "FashionMNIST's": ((0.2860,), (0.3530,)),
    "those that map [0, 1] to [-1, 1]": ((0.5,), (0.5,)),
}
"""Means and standard deviations that are used with images in [0, 1], as they are published."""


@dataclass(frozen=True, slots=True)
class Treatment:
    """Another thing that could have been done to the inputs before the bare model."""

    name: str
    mean: tuple[float, ...] = ()
    """Empty: no normalisation."""
    std: tuple[float, ...] = ()
    reversed_channels: bool = False
    undoes: bool = False
    """It takes a normalisation back."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One model's outputs: logits (n, classes) on the first ``len(y)`` test examples, and what else shows."""

    y: Tensor
    logits: Tensor
    classes: tuple[str, ...]
    normalised: bool
    """Whether the plan normalises."""
    again: Tensor
    """The first batch's logits, a second time."""
    alone: Tensor | str
    """Logits of the first examples in batches of one; or what such a batch raises."""
    training: tuple[str, ...] = ()
    """Submodules in train mode after ``.eval()``."""
    train_y: Tensor | None = None
    train_logits: Tensor | None = None
    others: Mapping[Treatment, Tensor] = field(default_factory=dict)
    """Logits on the first test examples under other treatments."""

    @property
    def right(self) -> Tensor:
        """(n,) bool: test examples that are classified as labelled."""
        return self.logits.argmax(1) == self.y

    @property
    def train_right(self) -> Tensor | None:
        """The same of training examples; None where there are none."""
        if self.train_logits is None or self.train_y is None:
            return None
        return self.train_logits.argmax(1) == self.train_y

    def right_under(self, treatment: Treatment) -> Tensor:
        """The same of the first test examples, treated otherwise."""
        logits = self.others[treatment]
        return logits.argmax(1) == self.y[: len(logits)]


def gather(inner: nn.Module, plan: Plan, data: Data, device: str = "cpu") -> Evidence:
    """Run a bare model, as the plan has it audited, on its data; it is in eval mode afterwards."""
    model = models.wrap(inner, plan, data).to(device)
    training = tuple(name or "the model" for name, part in model.named_modules() if part.training)
    first = data.test.x[:BATCH]
    _outputs(model, first[:LONE])  # the first call pays for what later ones do not
    start = time.perf_counter()
    again = _outputs(model, first)
    count = _affordable((time.perf_counter() - start) / len(first))
    test, train = data.test[:count], None if data.train is None else _sample(data.train, count)
    return Evidence(
        y=test.y,
        logits=_outputs(model, test.x),
        classes=data.classes,
        normalised=plan.model.normalise is not None,
        again=again,
        alone=_alone(model, first),
        training=training,
        train_y=None if train is None else train.y,
        train_logits=None if train is None else _outputs(model, train.x),
        others=_others(inner, plan, data, test.x[:TRIED], device),
    )


def overlap(data: Data) -> tuple[int, int]:
    """How many held-out examples have the very inputs of a training example, and of how many held-out."""
    heldout = data.heldout
    if data.train is None:
        return 0, len(heldout)
    seen = set(_digests(data.train.x))
    return sum(digest in seen for digest in _digests(heldout.x)), len(heldout)


def treatments(plan: Plan, data: Data) -> Iterator[Treatment]:
    """What could have been done to these inputs instead of what the plan says, from plain to strange."""
    said = plan.model.normalise
    if said is not None:
        yield Treatment("without [model] normalise")
    channels, images = data.input_shape[0], len(data.input_shape) == 3
    yield from _own(data)
    if not images:
        return
    examples = data.test
    low, high = float(examples.x.min()), float(examples.x.max())
    for name, (means, stds) in STATISTICS.items():
        if len(means) not in (1, channels):
            continue
        if low >= 0 and high <= 1:
            yield Treatment(f"with {name} mean and std", means, stds)
        elif low < 0:
            back = tuple(-m / s for m, s in zip(means, stds, strict=True))
            yield Treatment(
                f"with {name} mean and std taken back", back, tuple(1 / s for s in stds), undoes=True
            )
    if low >= 0 and high <= 1:
        yield Treatment("with inputs from 0 to 255", (0.0,), (1 / 255,))
    elif low >= 0 and high <= 255:
        yield Treatment("with inputs from 0 to 1", (0.0,), (255.0,))
    if channels == 3:
        means, stds = (said.mean, said.std) if said else ((), ())
        yield Treatment("with the channels in reverse order", means, stds, reversed_channels=True)


def _own(data: Data) -> Iterator[Treatment]:
    examples = data.train if data.train is not None else data.test
    # in float64, or a constant channel has a standard deviation of rounding errors
    values = examples.x[:EXAMPLES].transpose(0, 1).flatten(1).double()
    mean, std = values.mean(1), values.std(1)
    if bool((std > 0).all()):
        yield Treatment("with the data's own mean and std", tuple(mean.tolist()), tuple(std.tolist()))


def _others(inner: nn.Module, plan: Plan, data: Data, x: Tensor, device: str) -> dict[Treatment, Tensor]:
    found = {}
    for treatment in treatments(plan, data):
        model: nn.Module = inner
        if treatment.mean:
            model = models.Normalised(inner, treatment.mean, treatment.std, x.ndim - 1).to(device)
        with suppress(Exception):  # inputs that a foreign model may refuse say nothing of those it was given
            found[treatment] = _outputs(model.eval(), x.flip(1) if treatment.reversed_channels else x)
    return found


def _outputs(model: nn.Module, x: Tensor) -> Tensor:
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    with torch.inference_mode():
        return torch.cat([model(batch.to(device)).float().cpu() for batch in torch.split(x, BATCH)])


def _alone(model: nn.Module, x: Tensor) -> Tensor | str:
    try:
        return torch.cat([_outputs(model, one) for one in torch.split(x[:LONE], 1)])
    except Exception as error:  # whatever a foreign model raises: batch norm in train mode does
        return f"{type(error).__name__}: {error}".splitlines()[0]


def _affordable(seconds: float) -> int:
    return max(FEWEST, min(EXAMPLES, int(SECONDS / max(seconds, 1e-9))))


def _sample(examples: Examples, count: int) -> Examples:
    """A fixed random choice: sources are often sorted by class."""
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(0))
    return examples[order[:count]]


def _digests(x: Tensor) -> Iterator[bytes]:
    rows = (x.flatten(1) + 0.0).contiguous().numpy()  # + 0.0: −0.0 is 0.0
    digest: Callable[[bytes], bytes] = lambda row: blake2b(row, digest_size=16).digest()  # noqa: E731
    return (digest(row.tobytes()) for row in rows)
