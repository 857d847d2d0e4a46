"""Training is deterministic, leaves the global generators alone and notices divergence."""

from itertools import pairwise

import pytest
import torch

from attacks.probe import Examples
from audit import zoo
from audit.plan import TrainPlan
from audit.subject.models import fresh
from audit.subject.training import steps, train


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


def state(model: torch.nn.Module) -> list[torch.Tensor]:
    return [value.clone() for value in model.state_dict().values()]


@pytest.mark.parametrize(("batch_size", "per_epoch"), [(16, 4), (21, 3), (63, 1), (1, 64), (100, 1)])
def test_steps_are_counted_as_they_are_taken(examples: Examples, batch_size: int, per_epoch: int) -> None:
    recipe = TrainPlan(batch_size=batch_size)
    taken = [0]

    def count(optimiser: torch.optim.Optimizer) -> None:
        optimiser.register_step_post_hook(lambda *_: taken.__setitem__(0, taken[0] + 1))

    train(fresh(zoo.digits_cnn, 0), examples, recipe, epochs=2, seed=0, prepare=count)
    assert taken == [2 * per_epoch]
    assert steps(len(examples), recipe, 2) == 2 * per_epoch


def test_parts_meet_the_batches_of_the_whole(examples: Examples) -> None:
    """With an optimiser that gathers nothing, the parts one after another are the whole, bit for bit."""
    recipe = TrainPlan(
        batch_size=16, optimiser="sgd", momentum=0.0, learning_rate=0.05, decay="step", epochs=4
    )
    whole, parts = fresh(zoo.digits_cnn, 0), fresh(zoo.digits_cnn, 0)
    train(whole, examples, recipe, epochs=4, seed=1)
    cuts = [0, 3, 4, 9, 9, 16]
    for start, stop in pairwise(cuts):
        train(parts, examples, recipe, epochs=4, seed=1, start=start, stop=stop)
    assert all(torch.equal(a, b) for a, b in zip(state(whole), state(parts), strict=True))
    other = fresh(zoo.digits_cnn, 0)
    train(other, examples, recipe, epochs=4, seed=1, start=1)
    assert not all(torch.equal(a, b) for a, b in zip(state(whole), state(other), strict=True))


@pytest.mark.parametrize("at", [0, 1, 7, 12])
def test_an_early_step_can_be_made_again_from_the_seed(examples: Examples, at: int) -> None:
    """With Adam and dropout: what the training passed through, bit for bit, is where a part of it ends."""
    recipe = TrainPlan(batch_size=16, epochs=3)

    def build() -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.3), torch.nn.Linear(64, 10))

    model = fresh(build, 5)
    passed = [state(model)]
    train(
        model, examples, recipe, epochs=3, seed=5,
        prepare=lambda o: o.register_step_post_hook(lambda *_: passed.append(state(model))),
    )  # fmt: skip
    again = fresh(build, 5)
    train(again, examples, recipe, epochs=3, seed=5, stop=at)
    assert len(passed) == 13
    assert all(torch.equal(a, b) for a, b in zip(passed[at], state(again), strict=True))


def test_learning_rates_fall_to_a_tenth_and_a_hundredth_and_fine_tuning_keeps_the_last(
    examples: Examples,
) -> None:
    recipe = TrainPlan(epochs=8, learning_rate=0.1, decay="step", batch_size=64)
    rates: list[float] = []

    def watch(optimiser: torch.optim.Optimizer) -> None:
        optimiser.register_step_pre_hook(lambda o, *_: rates.append(o.param_groups[0]["lr"]))

    train(fresh(zoo.digits_cnn, 0), examples, recipe, epochs=8, seed=0, prepare=watch)
    assert rates == pytest.approx([0.1] * 4 + [0.01] * 2 + [0.001] * 2)
    rates.clear()
    train(fresh(zoo.digits_cnn, 0), examples, recipe, epochs=2, seed=0, prepare=watch, further=True)
    assert rates == pytest.approx([0.001] * 2)
    rates.clear()
    train(fresh(zoo.digits_cnn, 0), examples, recipe, epochs=8, seed=0, prepare=watch, start=5)
    assert rates == pytest.approx([0.01] + [0.001] * 2)
