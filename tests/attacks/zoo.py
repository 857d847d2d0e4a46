"""A zoo of models that mislead attacks, and of honest ones that look as if they did.

Each masker stands before or behind one healthy network whose decisions it leaves as they are (up to the
rounding that is part of it), so that the network's own robust accuracy is the truth. Each oddity is what it
is, and no attack on it need be doubted; but for the random one, which has no truth.
"""

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer, load_digits
from torch import Tensor, nn

from attacks.evasion import Settings, run
from attacks.probe import Examples, Measurement, Target

EPS = (13 / 256, 26 / 256)
"""Multiples of the quantisers' step, so that their rounding changes no perturbation of full length."""
SETTINGS = {"level": "quick", "eps": EPS, "apgd_steps": 10, "targets": 3, "queries": 200}
COUNT = 100
"""Test examples: one is a point."""
STEP = 256

Change = Callable[[Tensor], Tensor]


class Masked(nn.Module):
    """A model behind a change to its inputs and one to its outputs."""

    def __init__(self, model: nn.Module, before: Change, after: Change) -> None:
        super().__init__()
        self.model, self.before, self.after = model, before, after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.model(self.before(x)))


def lying(backward: Change) -> Change:
    """The identity, whose gradient is told otherwise."""

    class Lie(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: object, gradient: Tensor) -> Tensor:
            return backward(gradient)

    return Lie.apply  # type: ignore[no-any-return]


def same(values: Tensor) -> Tensor:
    return values


def without_grad(x: Tensor) -> Tensor:
    with torch.no_grad():
        return x * 1


def through_numpy(values: Tensor) -> Tensor:
    return torch.from_numpy(np.array(values.detach().numpy()))


def one_hot(z: Tensor) -> Tensor:
    return F.one_hot(z.argmax(1), z.shape[1]).float()


def noise(gradient: Tensor) -> Tensor:
    return torch.randn(gradient.shape, generator=torch.Generator().manual_seed(int(gradient.numel())))


BEFORE: Mapping[str, Change] = {
    "inputs rounded": lambda x: (x * STEP).round() / STEP,
    "inputs cast to integers": lambda x: (x * STEP + 0.5).to(torch.int64).float() / STEP,
    "inputs divided by //": lambda x: (x * STEP + 0.5) // 1 / STEP,
    "bucketize": lambda x: torch.bucketize(x.contiguous(), (torch.arange(STEP) + 0.5) / STEP).float() / STEP,
    "detach": lambda x: x.detach(),
    "data": lambda x: x.data,
    "no_grad": without_grad,
    "NumPy before": through_numpy,
    "gradient negated before": lying(lambda g: -g),
    "gradient random before": lying(noise),
    "gradient zero": lying(lambda g: 0 * g),
    "gradient of other pixels": lying(lambda g: g.flip(-1)),
    "gradient of half the pixels": lying(lambda g: g * (torch.arange(g.shape[-1]) % 2)),
    "gradient below float32": lying(lambda g: g * 1e-44),
    "gradient not a number": lambda x: x + 0 * (x * 0).sqrt(),
    "ripples": lambda x: x + 1e-5 * (1e6 * x).sin(),
}
AFTER: Mapping[str, Change] = {
    "large logits": lambda z: z * 1e4,
    "softmax": lambda z: z.softmax(1),
    "softmax, saturated": lambda z: (z * 100).softmax(1),
    "softmax in half precision": lambda z: z.half().softmax(1).float(),
    "log-probabilities clamped": lambda z: z.log_softmax(1).clamp(-4, -0.02),
    "logits rounded": lambda z: (z * 64).round() / 64,
    "one-hot": one_hot,
    "ranks": lambda z: z.argsort(1).argsort(1).float(),
    "label and confidence": lambda z: one_hot(z) * z.softmax(1),
    "gradient negated behind": lying(lambda g: -g),
    "gradient random behind": lying(noise),
    "NumPy behind": through_numpy,
    "one-hot by NumPy": lambda z: one_hot(through_numpy(z)),
}


class Decoyed(nn.Module):
    """The model without a gradient, and beside it something that has one and decides nothing."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.hide = model, lying(lambda g: 0 * g)
        self.decoy = torch.randn(64, 10, generator=torch.Generator().manual_seed(5))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(self.hide(x)) + 1e-6 * (x @ self.decoy)


def in_eight_bits(model: nn.Module, sample: Tensor, *, static: bool) -> nn.Module:
    """By PyTorch's own quantisation; activations too where ``static``."""
    import torch.ao.quantization as quantization

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not static:
            return quantization.quantize_dynamic(copy.deepcopy(model), {nn.Linear}, dtype=torch.qint8)
        stubbed = nn.Sequential(
            quantization.QuantStub(), *copy.deepcopy(model), quantization.DeQuantStub()
        ).eval()
        stubbed.qconfig = quantization.get_default_qconfig(torch.backends.quantized.engine)
        quantization.prepare(stubbed, inplace=True)
        stubbed(sample)
        return quantization.convert(stubbed)


def maskers(model: nn.Module, sample: Tensor) -> dict[str, nn.Module]:
    """Every masker around the model."""
    found: dict[str, nn.Module] = {name: Masked(model, change, same) for name, change in BEFORE.items()}
    found |= {name: Masked(model, same, change) for name, change in AFTER.items()}
    found["decoy"] = Decoyed(model)
    found["8 bits, dynamic"] = in_eight_bits(model, sample, static=False)
    found["8 bits, static"] = in_eight_bits(model, sample, static=True)
    return {name: masker.eval().requires_grad_(False) for name, masker in found.items()}


# Held out: devised after the cure stood. The first group showed what it missed (see docs/evasion.md), the
# second was run once and nothing was changed for it.


DECOY = torch.randn(64, 10, generator=torch.Generator().manual_seed(9))


class InNumpy(nn.Module):
    """The network itself in NumPy, where nothing inside can be seen; ``after`` is given logits and inputs."""

    def __init__(self, model: nn.Module, after: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.weights = [weight.numpy().copy() for weight in model.parameters()]
        self.after = after

    def forward(self, x: Tensor) -> Tensor:
        a, b, c, d = self.weights
        values = x.detach().numpy()
        z = np.maximum(values @ a.T + b, 0) @ c.T + d
        return self.after(torch.from_numpy(z), torch.from_numpy(values.copy()))


class Around(nn.Module):
    """A model within a function of it and of the input."""

    def __init__(self, model: nn.Module, function: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.model, x)


def looked_up(x: Tensor) -> Tensor:
    return (torch.arange(STEP + 1) / STEP)[(x * STEP + 0.5).long()]


def thermometer(x: Tensor) -> Tensor:
    return (x.unsqueeze(-1) >= (torch.arange(STEP) + 0.5) / STEP).float().sum(-1) / STEP


def sawtooth(z: Tensor) -> Tensor:
    """The margin rises in teeth that each fall: the true slope leads astray."""
    top = z.topk(2, dim=1).values
    margin = 2 * (top[:, :1] - top[:, 1:])
    return one_hot(z) * (margin.floor() + 1 - 0.9 * (margin - margin.floor()))


def hashed(z: Tensor, x: Tensor) -> Tensor:
    """The label, and scores that are noise."""
    drawn = (x.detach() * 1e6).sum(1, keepdim=True).sin().abs() * 1e4
    return one_hot(z) * (1 + drawn - drawn.floor())


def off_the_data(x: Tensor) -> Tensor:
    """Which inputs have values between the digits' seventeen greys, (N, 1) bool."""
    return ((x.detach() * 16) % 1 == 0).double().mean(1, keepdim=True) < 0.99


def near_boundary(model: nn.Module, x: Tensor) -> Tensor:
    z = model(x)
    top = z.detach().topk(2, dim=1).values
    return torch.where(top[:, :1] - top[:, 1:] < 4, lying(noise)(z), z)


def without_largest(gradient: Tensor) -> Tensor:
    return gradient.scatter(1, gradient.abs().topk(8, dim=1).indices, 0.0)


def halves(x: Tensor) -> Tensor:
    """Of 128 values the mean of both halves: in L∞ an attacker gains nothing by having two."""
    return (x[:, :64] + x[:, 64:]) / 2


def through_subspace(gradient: Tensor) -> Tensor:
    basis = torch.linalg.qr(torch.randn(64, 64, generator=torch.Generator().manual_seed(3))).Q[:, :40]
    return gradient @ basis.to(gradient) @ basis.T.to(gradient)


def with_gradient_of(other: nn.Module) -> Callable[[nn.Module, Tensor], Tensor]:
    """The model's values, another's gradient."""

    def function(model: nn.Module, x: Tensor) -> Tensor:
        shown = other(x)
        return shown + (model(x) - shown).detach()

    return function


def some_by_hash(x: Tensor) -> Tensor:
    kept = ((x.detach() * 1e5 + torch.arange(x.shape[1])).sin() > -0.6).to(x)
    return lying(lambda g: g * kept)(x)


HELD_OUT = (
    "looked up in a table", "thermometer", "label over decoy scores", "scale that moves", "sawtooth margin",
    "gradient true at the data alone", "gradient random near the boundary", "another model under autograd",
    "hashed scores", "gradient negated in the middle", "NumPy, label over decoy", "NumPy, hashed scores",
    "NumPy, two digits", "gradient of three quarters", "gradient without its largest",
    "128 inputs, gradient negated", "128 inputs, NumPy, two digits", "TorchScript, 8 bits",
)  # fmt: skip
SECOND = (
    "gradient in a subspace", "gradient of another model", "gradient of some pixels, by hash", "two digits",
    "three likeliest", "squashed by tanh", "TorchScript, label over decoy", "128 inputs, gradient of half",
    "gradient negated far from the data",
)  # fmt: skip
WIDE = "128 inputs"
"""What the names of those begin with whose inputs are doubled."""


def traced(model: nn.Module, x: Tensor) -> nn.Module:
    """In TorchScript, of which nothing inside can be seen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, and what users have
        found: nn.Module = torch.jit.trace(model.eval(), x)
    return found


def held_out(model: nn.Module, train: Examples, test: Examples) -> dict[str, nn.Module]:
    """Both groups around the model."""
    robust, x = trained(train, eps=0.1), test.x[:3]
    eight = in_eight_bits(model, train.x[:500], static=True)
    negated = lying(lambda g: -g)
    over_decoy = lambda z, x: 40 * one_hot(z) + x @ DECOY  # noqa: E731
    found: dict[str, nn.Module] = {
        "looked up in a table": Masked(model, looked_up, same),
        "thermometer": Masked(model, thermometer, same),
        "label over decoy scores": Around(model, lambda m, x: over_decoy(through_numpy(m(x)), x)),
        "scale that moves": Around(model, lambda m, x: m(x) * (4 * (x @ DECOY[:, :1])).exp()),
        "sawtooth margin": Masked(model, same, sawtooth),
        "gradient true at the data alone": Masked(
            model, lambda x: torch.where(off_the_data(x), negated(x), x), same
        ),
        "gradient random near the boundary": Around(model, near_boundary),
        "another model under autograd": Around(model, lambda m, x: robust(x) if x.requires_grad else m(x)),
        "hashed scores": Around(model, lambda m, x: hashed(through_numpy(m(x)), x)),
        "gradient negated in the middle": nn.Sequential(*model[:2], Masked(model[2], negated, same)),  # type: ignore[index]
        "NumPy, label over decoy": InNumpy(model, over_decoy),
        "NumPy, hashed scores": InNumpy(model, hashed),
        "NumPy, two digits": InNumpy(model, lambda z, x: z.softmax(1).round(decimals=2)),
        "gradient of three quarters": Masked(
            model, lying(lambda g: g * (torch.arange(g.shape[-1]) % 4 != 3)), same
        ),
        "gradient without its largest": Masked(model, lying(without_largest), same),
        "128 inputs, gradient negated": Masked(model, lambda x: negated(halves(x)), same),
        "128 inputs, NumPy, two digits": Masked(
            InNumpy(model, lambda z, x: z.softmax(1).round(decimals=2)), halves, same
        ),
        "TorchScript, 8 bits": traced(eight, x),
        "gradient in a subspace": Masked(model, lying(through_subspace), same),
        "gradient of another model": Around(model, with_gradient_of(robust)),
        "gradient of some pixels, by hash": Masked(model, some_by_hash, same),
        "two digits": Masked(model, same, lambda z: z.softmax(1).round(decimals=2)),
        "three likeliest": Masked(
            model, same, lambda z: z.softmax(1) * (z >= z.topk(3, dim=1).values[:, 2:])
        ),
        "squashed by tanh": Masked(model, same, lambda z: (z / 4).tanh()),
        "TorchScript, label over decoy": traced(Around(model, lambda m, x: over_decoy(m(x).detach(), x)), x),
        "128 inputs, gradient of half": Masked(
            model, lambda x: halves(lying(lambda g: g * (torch.arange(128) % 2))(x)), same
        ),
        "gradient negated far from the data": Masked(
            model,
            lambda x: torch.where(
                torch.cdist(x.detach(), test.x, p=torch.inf).amin(1, keepdim=True) > 0.06, negated(x), x
            ),
            same,
        ),
    }
    return {name: masker.eval().requires_grad_(False) for name, masker in found.items()}


# Honest models


class Half(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).half()

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x.half()).float()


class Ensemble(nn.Module):
    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([member(x) for member in self.members]).mean(0)


class Biased(nn.Module):
    """One class, whatever the input; the logits differ."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) + 1e3 * (torch.arange(10) == 3)


class Constant(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.eye(10)[3].expand(len(x), 10) + 0 * x.sum(1, keepdim=True)


class Noisy(nn.Module):
    """Gaussian noise on the inputs, drawn anew each time."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x + 0.1 * torch.randn_like(x))


def net(width: int = 64, classes: int = 10, inputs: int = 64, depth: int = 1) -> nn.Sequential:
    inner = [layer for _ in range(depth - 1) for layer in (nn.Linear(width, width), nn.ReLU())]
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), *inner, nn.Linear(width, classes))


def trained(
    data: Examples, seed: int = 0, eps: float = 0.0, smooth: float = 0.0, make: Callable[[], nn.Module] = net
) -> nn.Module:
    """A network trained for 30 rounds; on examples moved by ``eps`` uphill first, if that is above zero."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = make()
        optimiser = torch.optim.Adam(model.parameters(), 3e-3)
        for _ in range(30):
            for part in torch.randperm(len(data)).split(64):
                x, y = data.x[part], data.y[part]
                if eps:
                    moved = (x + eps * (2 * torch.rand_like(x) - 1)).requires_grad_()
                    F.cross_entropy(model(moved), y).backward()
                    assert moved.grad is not None
                    moved = torch.max(torch.min(moved + eps * moved.grad.sign(), x + eps), x - eps)
                    x = moved.detach().clamp(0, 1)
                optimiser.zero_grad()
                F.cross_entropy(model(x), y, label_smoothing=smooth).backward()
                optimiser.step()
    return model.eval().requires_grad_(False)


def rounded_weights(model: nn.Module) -> nn.Module:
    found = copy.deepcopy(model)
    for weight in found.parameters():
        scale = weight.data.abs().max() / 127
        weight.data = (weight.data / scale).round() * scale
    return found


def pruned(model: nn.Module, share: float) -> nn.Module:
    found = copy.deepcopy(model)
    for weight in found.parameters():
        if weight.ndim > 1:
            weight.data[weight.data.abs() < weight.data.abs().quantile(share)] = 0
    return found


def digits() -> tuple[Examples, Examples]:
    """Training and test examples, flat."""
    data = load_digits()
    x, y = torch.tensor(data.data, dtype=torch.float32).div(16), torch.tensor(data.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    known = Examples(x[order], y[order])
    return known[:1200], known[1200 : 1200 + COUNT]


def table() -> tuple[Examples, Examples]:
    """A table of thirty features, scaled to [0, 1]."""
    data = load_breast_cancer()
    x = torch.tensor(data.data, dtype=torch.float32)
    x = (x - x.amin(0)) / (x.amax(0) - x.amin(0))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    known = Examples(x[order], torch.tensor(data.target)[order])
    return known[:400], known[400 : 400 + COUNT]


def honest(train: Examples, test: Examples, base: nn.Module) -> dict[str, Callable[[], Target]]:
    """Every oddity with its own data; those that need a training of their own are trained when called."""
    columns, unseen = table()

    def on(model: nn.Module, data: Examples = test, classes: int = 10) -> Target:
        return Target(model.eval().requires_grad_(False), classes, (0.0, 1.0), data, batch_size=128)

    threes = Examples(train.x[train.y == 3][:COUNT], train.y[train.y == 3][:COUNT])
    two = train[train.y < 2], test[test.y < 2]
    return {
        "plain": lambda: on(base),
        "adversarially trained": lambda: on(trained(train, eps=0.1)),
        "collapsed": lambda: on(Biased(base)),
        "constant": lambda: on(Constant()),
        "one class in the data": lambda: on(base, threes),
        "linear on a table": lambda: on(
            trained(columns, make=lambda: nn.Sequential(nn.Linear(30, 2))), unseen, 2
        ),
        "network on a table": lambda: on(trained(columns, make=lambda: net(32, 2, 30)), unseen, 2),
        "two classes": lambda: on(trained(two[0], make=lambda: net(16, 2)), two[1], 2),
        "half precision": lambda: on(Half(base)),
        "ensemble": lambda: on(Ensemble([base, trained(train, 1), trained(train, 2)])),
        "weights in 8 bits": lambda: on(rounded_weights(base)),
        "pruned": lambda: on(pruned(base, 0.5)),
        "deep": lambda: on(trained(train, make=lambda: net(32, depth=5))),
        "small logits": lambda: on(Masked(base, same, lambda z: z * 0.01)),
        "labels smoothed": lambda: on(trained(train, smooth=0.2)),
        "random": lambda: on(Noisy(base)),
    }


@dataclass(frozen=True)
class Zoo:
    """Targets by name, and the maskers' truth."""

    masked: Mapping[str, Target]
    held_out: Mapping[str, Target]
    honest: Mapping[str, Callable[[], Target]]
    truth: tuple[float, ...]


def zoo() -> Zoo:
    """Trains the networks (seconds), and takes the truth from the base network by the cure's own attacks."""
    train, test = digits()
    base = trained(train)
    target = Target(base, 10, (0.0, 1.0), test, batch_size=128)
    attacks = ("pgd", "apgd_t", "square")
    rows = run(
        target,
        Settings(**{**SETTINGS, "attacks": attacks, "apgd_steps": 50, "targets": 9}),
        torch.Generator().manual_seed(0),
    )
    return Zoo(
        {name: replace(target, model=model) for name, model in maskers(base, train.x[:500]).items()},
        {
            name: replace(
                target,
                model=model,
                test=Examples(test.x.repeat(1, 2), test.y) if name.startswith(WIDE) else test,
            )
            for name, model in held_out(base, train, test).items()
        },
        honest(train, test, base),
        figures(rows, "worst_case"),
    )


def figures(rows: Sequence[Measurement], attack: str) -> tuple[float, ...]:
    """Robust accuracy at each ε."""
    return tuple(
        float(row.value or 0)
        for row in rows
        if row.metric == "robust_accuracy" and row.at["attack"] == attack and row.status == "ok"
    )


@dataclass(frozen=True)
class Found:
    """What evasion says of one model."""

    flags: frozenset[str]
    """Raised, or whose check failed."""
    plain: tuple[float, ...]
    """By the plan's attacks, the strongest at each ε."""
    cured: tuple[float, ...]
    worst: tuple[float, ...]
    note: str

    @property
    def doubt(self) -> bool:
        """Whether it says that the figure was not measured soundly."""
        return "uncured" in self.flags


def attacked(target: Target) -> Found:
    """Evasion at level ``quick`` on one model; the global generator is set, since some draw from it."""
    with torch.random.fork_rng([]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "quantized::linear_dynamic")  # PyTorch, of its own 8-bit layers
        torch.manual_seed(0)
        rows = list(run(target, Settings(**SETTINGS), torch.Generator().manual_seed(0)))
    flags = frozenset(
        str(row.at["flag"])
        for row in rows
        if row.metric == "attack_health"
        and (row.status == "failed" or (row.value is not None and row.value > float(row.at["limit"])))
    )
    plain = tuple(min(pair) for pair in zip(figures(rows, "fgsm"), figures(rows, "pgd"), strict=True))
    note = next((row.note for row in rows if row.at.get("attack") == "cured"), "")
    return Found(flags, plain, figures(rows, "cured"), figures(rows, "worst_case"), note)
