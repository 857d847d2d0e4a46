from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from attacks.evasion import Settings
from attacks.evasion._attack import Batch
from attacks.evasion._clean import Start, begin, luck
from attacks.probe import Examples, Target


class Net(nn.Module):
    """A small CNN for 8×8 digits with a batch norm and a dropout, so that the wrong mode shows."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.dropout = nn.Dropout(0.2)
        self.out = nn.Linear(16 * 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv1(x)))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.out(self.dropout(x.flatten(1)))


def _fresh(seed: int) -> nn.Module:
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        return Net()


def _train(model: nn.Module, data: Examples, epochs: int, learning_rate: float = 3e-3) -> nn.Module:
    """Trained in place, in eval mode, needing no gradient: as a Target wants it."""
    optimiser = torch.optim.Adam(model.parameters(), learning_rate)
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(0)
        model.train()
        for _ in range(epochs):
            for part in torch.randperm(len(data)).split(32):
                optimiser.zero_grad()
                F.cross_entropy(model(data.x[part]), data.y[part]).backward()
                optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def digits() -> Examples:
    data = load_digits()
    x = torch.tensor(data.images, dtype=torch.float32).div(16).unsqueeze(1)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return Examples(x[order], torch.tensor(data.target, dtype=torch.int64)[order])


@pytest.fixture(scope="session")
def fresh() -> Callable[[int], nn.Module]:
    return _fresh


@pytest.fixture(scope="session")
def train() -> Callable[..., nn.Module]:
    return _train


@pytest.fixture(scope="session")
def trained(digits: Examples) -> nn.Module:
    return _train(_fresh(1), digits[:600], epochs=12)


@pytest.fixture(scope="session")
def make_target(digits: Examples) -> Callable[..., Target]:
    def make(model: nn.Module, **changes: object) -> Target:
        given: dict[str, object] = {
            "test": digits[1600:],
            "members": digits[:600],
            "nonmembers": digits[1000:1600],
            "pool": digits[600:1000],
            "surrogate": _fresh,
            "batch_size": 128,
        }
        return Target(model, 10, (0.0, 1.0), **{**given, **changes})  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def target(trained: nn.Module, make_target: Callable[..., Target]) -> Target:
    return make_target(trained)


@pytest.fixture(scope="session")
def unattacked() -> Callable[[Target, Settings], Batch]:
    """What the model gets right, as one batch, with the luck that a generator of seed 0 gives it."""

    def batch(target: Target, settings: Settings) -> Batch:
        seeds = luck(target, settings, torch.Generator().manual_seed(0))[0]
        return begin(target, settings, seeds, range(len(target.test)), Start.of(target))[1]

    return batch
