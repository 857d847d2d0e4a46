"""Batch norm's running statistics: right, from the given data alone, and nothing else touched."""

import copy
import weakref

import pytest
import torch
from torch import Tensor, nn

from pruning.recovery import recalibrate


def network(momentum: float | None = 0.1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5, momentum=momentum), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(),
        nn.Linear(80, 4), nn.BatchNorm1d(4, affine=False), nn.Linear(4, 3),
    )  # fmt: skip


@pytest.fixture
def x(generator: torch.Generator) -> Tensor:
    return torch.randn(40, 2, 6, 6, generator=generator) * 3 + 1


def test_of_one_batch_it_is_mean_and_variance(x):
    model = network().eval()
    recalibrate(model, [x])
    features = model[0](x)
    torch.testing.assert_close(model[1].running_mean, features.mean((0, 2, 3)))
    torch.testing.assert_close(model[1].running_var, features.var((0, 2, 3)))
    behind = model[5](torch.relu(nn.functional.batch_norm(
        features, None, None, model[1].weight, model[1].bias, training=True
    )).flatten(1))  # fmt: skip
    torch.testing.assert_close(model[6].running_mean, behind.mean(0))


def test_of_several_batches_it_is_the_average_whatever_was_there_before(x):
    model = network().eval()
    with torch.no_grad():
        model[1].running_mean.fill_(1e6)
    recalibrate(model, x.split(8))
    batches = model[0](x).split(8)
    average = torch.stack([batch.mean((0, 2, 3)) for batch in batches]).mean(0)
    torch.testing.assert_close(model[1].running_mean, average)
    assert model[1].num_batches_tracked == 5


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("training", [True, False])
def test_nothing_but_running_statistics_changes(x, momentum, training):
    model = network(momentum).train(training)
    model[0].eval()
    before = copy.deepcopy(model)
    random_state = torch.get_rng_state()
    recalibrate(model, x.split(16))
    assert torch.equal(torch.get_rng_state(), random_state)
    changed = {
        name
        for name, value in model.state_dict().items()
        if not torch.equal(value, before.state_dict()[name])
    }
    assert changed == {
        f"{layer}.{name}"
        for layer in (1, 6)
        for name in ("running_mean", "running_var", "num_batches_tracked")
    }
    assert [m.training for m in model.modules()] == [m.training for m in before.modules()]
    assert (model[1].momentum, model[6].momentum) == (momentum, 0.1)
    assert all(p.grad is None for p in model.parameters())


def test_a_crash_leaves_modes_and_momentum(x):
    model = network().train()
    with pytest.raises(RuntimeError):
        recalibrate(model, [x[:, :1], x])
    assert all(m.training for m in model.modules())
    assert model[1].momentum == 0.1


def test_lone_examples_and_models_without_batch_norm_change_nothing(x):
    model = network()
    before = copy.deepcopy(model.state_dict())
    recalibrate(model, x[:2].split(1))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())

    def never() -> list[Tensor]:
        raise AssertionError("looked at data in vain")
        yield x

    recalibrate(nn.Sequential(nn.Flatten(), nn.Linear(72, 2)), never())


def test_it_repairs_what_pruning_broke(cnn):
    """Positive control: statistics that fit no longer are mended."""
    model = cnn.model
    with torch.no_grad():
        model[0].weight.mul_(4)  # what batch norm behind it would not notice in training mode
    recalibrate(model, [cnn.x])
    z = model[1](model[0](cnn.x))
    normal = (z - model[1].bias[:, None, None]) / model[1].weight[:, None, None]
    torch.testing.assert_close(normal.mean((0, 2, 3)), torch.zeros(16), atol=1e-4, rtol=0)


def test_batches_are_held_one_at_a_time(x):
    alive: list[weakref.ref[Tensor]] = []
    most = 0

    def batches():
        nonlocal most
        for part in x.split(4):
            batch = part.clone()
            alive.append(weakref.ref(batch))
            most = max(most, sum(ref() is not None for ref in alive))
            yield batch
            del batch

    recalibrate(network(), batches())
    assert len(alive) == 10
    assert most <= 3  # the first, the last and the next
