"""Small models with random weights, one of each kind that pruning must handle."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pruning.sample import Sample


def _share(name: str, file: str) -> None:
    """Let the tests of this folder import a file of it: test folders are not packages."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / file)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])


_share("pruning_networks", "networks.py")
_share("pruning_lab", "lab.py")


from pruning_networks import random_weights  # noqa: E402 (made importable above)


class Residual(nn.Module):
    """3×32×32 → 10 logits: two blocks on one stream, one that widens it with a strided shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.same = self._branch(8, 8, 1)
        self.wider = self._branch(8, 16, 2)
        self.shortcut = nn.Sequential(nn.Conv2d(8, 16, 1, 2, bias=False), nn.BatchNorm2d(16))
        self.head = nn.Linear(16, 10)

    @staticmethod
    def _branch(into: int, out: int, stride: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(into, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(),
            nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.relu(x + self.same(x))
        x = torch.relu(self.shortcut(x) + self.wider(x))
        return self.head(x.mean((2, 3)))


class Dense(nn.Module):
    """3×8×8 → 10 logits: a block that concatenates, and a depthwise convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.second = nn.Conv2d(6, 5, 3, padding=1)
        self.depthwise = nn.Conv2d(11, 11, 3, padding=1, groups=11)
        self.point = nn.Conv2d(11, 7, 1)
        self.head = nn.Linear(7 * 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        x = torch.cat([x, torch.sigmoid(self.second(x))], 1)
        x = torch.max_pool2d(nn.functional.softplus(self.point(self.depthwise(x))), 2)
        return self.head(x.flatten(1))


def digits_cnn(norm: bool = False) -> nn.Sequential:
    def block(into: int, out: int) -> list[nn.Module]:
        normed: list[nn.Module] = [nn.BatchNorm2d(out)] if norm else []
        return [nn.Conv2d(into, out, 3, padding=1), *normed, nn.ReLU(), nn.MaxPool2d(2)]

    return nn.Sequential(
        *block(1, 16), *block(16, 32), nn.Flatten(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)
    )


def lenet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
    )  # fmt: skip


def mlp() -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 500), nn.ReLU(), nn.Linear(500, 10)
    )


ARCHITECTURES = {
    "digits-cnn": (lambda: digits_cnn(), (1, 8, 8)),
    "digits-cnn-bn": (lambda: digits_cnn(norm=True), (1, 8, 8)),
    "lenet": (lenet, (1, 28, 28)),
    "mlp": (mlp, (1, 28, 28)),
    "residual": (Residual, (3, 32, 32)),
    "dense-depthwise": (Dense, (3, 8, 8)),
}


class Case:
    """A model under test, with inputs it takes."""

    def __init__(self, name: str) -> None:
        build, shape = ARCHITECTURES[name]
        self.name = name
        self.build = build
        self.model = random_weights(build())
        generator = torch.Generator().manual_seed(1)
        self.x = torch.rand(5, *shape, generator=generator)
        self.sample = Sample(self.x, torch.randint(10, (5,), generator=generator), batch_size=2)
        self.never_zero = name == "lenet"  # its Tanh: activation sparsity has nothing to go by


@pytest.fixture(params=list(ARCHITECTURES))
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


@pytest.fixture
def cnn() -> Case:
    return Case("digits-cnn-bn")


@pytest.fixture
def residual() -> Case:
    return Case("residual")


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
