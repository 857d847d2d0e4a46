"""Training is deterministic, leaves the global generators alone and notices divergence."""

import pytest
import torch

from attacks.probe import Examples
from audit import zoo
from audit.plan import TrainPlan
from audit.subject.models import fresh
from audit.subject.training import train


@pytest.fixture
def examples() -> Examples:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(64) % 10
    x = torch.rand(64, 1, 8, 8, generator=generator) * 0.2
    x[torch.arange(64), 0, y // 8, y % 8] = 1.0  # one bright pixel a class
    return Examples(x, y)


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_learns_and_repeats(examples: Examples, optimiser: str) -> None:
    recipe = TrainPlan(
        batch_size=16, optimiser=optimiser, learning_rate=0.003 if optimiser == "adam" else 0.05
    )
    states = []
    before = torch.get_rng_state()
    for _ in range(2):
        model = fresh(zoo.digits_cnn, 0)
        train(model, examples, recipe, epochs=40, seed=1)
        states.append(model.state_dict())
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True))
    assert not model.training
    assert (model(examples.x).argmax(1) == examples.y).float().mean() > 0.9


def test_divergence_is_an_error(examples: Examples) -> None:
    recipe = TrainPlan(optimiser="sgd", learning_rate=1e12)
    with pytest.raises(ArithmeticError, match="lower .train. learning_rate"):
        train(fresh(zoo.digits_cnn, 0), examples, recipe, epochs=20, seed=0)


def test_batch_norm_survives_a_lone_last_example() -> None:
    x, y = torch.rand(9, 3, 32, 32), torch.arange(9)
    model = fresh(zoo.small_resnet, 0)
    train(model, Examples(x, y), TrainPlan(batch_size=4), epochs=1, seed=0)
    assert all(torch.isfinite(v.float()).all() for v in model.state_dict().values())
