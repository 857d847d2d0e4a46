"""The geometry and the losses that every evasion attack rests on."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from attacks.evasion._apgd import checkpoints
from attacks.evasion._balls import BALLS
from attacks.evasion._losses import dlr_targeted, gap, odds
from attacks.evasion._passes import laid_out, picked
from attacks.evasion._random import normal, uniform

NORMS = pytest.mark.parametrize("norm", ["linf", "l2"])
BOUNDS = st.tuples(st.floats(-5, 0), st.floats(0.1, 5))


def place(seed: int, bounds: tuple[float, float], spread: float) -> tuple[Tensor, Tensor]:
    """Eight inputs inside the bounds, some entries on them, and points around them, 2 × 7 entries each."""
    noise = torch.Generator().manual_seed(seed)
    centre = torch.empty(8, 2, 7).uniform_(bounds[0] - 0.5, bounds[1] + 0.5, generator=noise).clamp(*bounds)
    return centre, centre + spread * torch.randn(centre.shape, generator=noise)


def naive_l2(moved: np.ndarray, centre: np.ndarray, eps: float, bounds: tuple[float, float]) -> np.ndarray:
    """By bisection of the multiplier in the conditions of Karush, Kuhn and Tucker, one example, float64."""

    def at(multiplier: float) -> np.ndarray:
        return np.clip((moved + multiplier * centre) / (1 + multiplier), *bounds)

    if np.linalg.norm(at(0) - centre) <= eps:
        return at(0)
    low, high = 0.0, 1e9
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.linalg.norm(at(middle) - centre) > eps else (low, middle)
    return at(high)


@NORMS
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(1e-3, 4), BOUNDS, st.floats(1e-3, 30))
def test_projection_is_inside_and_idempotent(
    norm: str, seed: int, eps: float, bounds: tuple[float, float], spread: float
):
    ball, (centre, moved) = BALLS[norm], place(seed, bounds, spread)
    reach = torch.full((8,), eps)
    found = ball.project(moved, centre, reach, bounds)
    assert (found >= bounds[0]).all()
    assert (found <= bounds[1]).all()
    assert (ball.distance(found, centre) <= eps * (1 + 2e-6) + 2e-6).all()
    assert torch.allclose(ball.project(found, centre, reach, bounds), found, atol=1e-5)
    inside = ball.distance(moved.clamp(*bounds), centre) <= eps * 0.999
    assert torch.allclose(found[inside], moved.clamp(*bounds)[inside], atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(1e-2, 4), BOUNDS, st.floats(1e-2, 30))
def test_l2_projection_is_the_closest_point(
    seed: int, eps: float, bounds: tuple[float, float], spread: float
):
    centre, moved = place(seed, bounds, spread)
    found = BALLS["l2"].project(moved, centre, torch.full((8,), eps), bounds).double().flatten(1).numpy()
    twin = [
        naive_l2(m, c, eps, bounds)
        for m, c in zip(moved.double().flatten(1).numpy(), centre.double().flatten(1).numpy(), strict=True)
    ]
    assert np.abs(found - np.stack(twin)).max() < 2e-4 * (1 + spread)


@NORMS
def test_projection_of_an_example_does_not_depend_on_its_batch(norm: str):
    centre, moved = place(3, (0.0, 1.0), 2.0)
    reach = torch.linspace(0.05, 2, 8)
    whole = BALLS[norm].project(moved, centre, reach, (0.0, 1.0))
    for i in range(8):
        alone = BALLS[norm].project(moved[i : i + 1], centre[i : i + 1], reach[i : i + 1], (0.0, 1.0))
        assert torch.equal(alone[0], whole[i])


@NORMS
def test_steepest_is_of_unit_norm_and_gains_the_slope(norm: str):
    ball, gradient = BALLS[norm], torch.randn(6, 3, 5, generator=torch.Generator().manual_seed(0))
    gradient[1] *= 1e-30  # whose squares underflow
    gradient[2] *= 1e30
    step = ball.steepest(gradient)
    assert torch.allclose(ball.distance(step, torch.zeros_like(step)), torch.ones(6).double())
    gain = (step.double() * gradient.double()).flatten(1).sum(1)
    assert torch.allclose(gain / ball.slope(gradient), torch.ones(6).double())
    assert not ball.steepest(torch.zeros(1, 3)).any()


@NORMS
def test_random_starts_lie_inside_and_reach_the_rim(norm: str):
    centre, eps = torch.full((500, 6), 0.5), torch.full((500,), 0.2)
    away = BALLS[norm].distance(BALLS[norm].sample(torch.arange(500), centre, eps, (0.0, 1.0)), centre)
    assert (away <= 0.2 * (1 + 1e-5)).all()
    if norm == "l2":  # uniform in six dimensions: (distance / ε)⁶ is uniform
        assert float((away / 0.2).pow(6).mean()) == pytest.approx(0.5, abs=0.05)


def test_random_numbers_are_random_and_each_seeds_own():
    seeds = torch.arange(2000)
    u, z = uniform(seeds, (50,)), normal(seeds, (50,))
    assert u.min() > 0
    assert u.max() < 1
    assert float(u.mean()) == pytest.approx(0.5, abs=0.005)
    assert float(u.var()) == pytest.approx(1 / 12, rel=0.02)
    assert float(z.mean()) == pytest.approx(0, abs=0.02)
    assert float(z.var()) == pytest.approx(1, rel=0.02)
    assert float(z.pow(4).mean()) == pytest.approx(3, rel=0.05)
    for other in (u.roll(1, 0), u.roll(1, 1), uniform(seeds, (50,), stream=1), uniform(seeds + 2**40, (50,))):
        assert abs(float(torch.corrcoef(torch.stack((u.flatten(), other.flatten())))[0, 1])) < 0.01
    assert torch.equal(uniform(seeds[7:9], (50,)), u[7:9])


# Losses


def naive_dlr(z: Tensor, y: int, t: int) -> Tensor:
    """As the paper prints it, one example; and our choices where it is not defined."""
    top = z.sort(descending=True).values
    if len(z) < 4:
        return z[t] - z[y]
    return -(z[y] - z[t]) / (top[0] - (top[2] + top[3]) / 2)


@pytest.mark.parametrize("classes", [2, 3, 4, 5, 10])
def test_dlr_and_its_slope_against_a_naive_twin(classes: int):
    logits = torch.randn(40, classes, generator=torch.Generator().manual_seed(classes)).double()
    y = torch.arange(40) % classes
    t = (y + 1 + torch.arange(40) % (classes - 1)) % classes
    loss, weights = dlr_targeted(logits, torch.stack((y, t), 1))
    for i in range(40):
        z = logits[i].clone().requires_grad_()
        twin = naive_dlr(z, int(y[i]), int(t[i]))
        (slope,) = torch.autograd.grad(twin, z)
        assert float(loss[i]) == pytest.approx(float(twin.detach()))
        assert torch.allclose(weights[i], slope)


@pytest.mark.parametrize("classes", [4, 10])
def test_dlr_knows_no_scale(classes: int):
    logits = torch.randn(20, classes, generator=torch.Generator().manual_seed(0))
    aims = torch.stack((torch.zeros(20).long(), torch.ones(20).long()), 1)
    plain, scaled = dlr_targeted(logits, aims), dlr_targeted(logits * 1e4 - 7e3, aims)
    assert torch.allclose(plain[0], scaled[0], rtol=1e-3)
    assert (torch.sign(plain[1]) == torch.sign(scaled[1])).all()


def test_dlr_of_equal_logits_is_finite():
    for classes in (2, 3, 10):
        loss, weights = dlr_targeted(torch.zeros(1, classes), torch.tensor([[0, 1]]))
        assert float(loss) == 0
        assert torch.isfinite(weights).all()


@pytest.mark.parametrize("loss", [odds, gap])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_weights_are_the_slope_of_the_loss(loss, classes: int):
    logits = torch.randn(20, classes, generator=torch.Generator().manual_seed(1)).double()
    y = torch.arange(20) % classes
    z = logits.clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss(z, y)[0].sum(), z)
    assert torch.allclose(loss(logits, y)[1], slope)


def test_odds_is_cross_entropys_logit():
    logits = 5 * torch.randn(20, 4, generator=torch.Generator().manual_seed(2)).double()
    y = torch.arange(20) % 4
    entropy = torch.nn.functional.cross_entropy(logits, y, reduction="none")
    assert torch.allclose(torch.log1p(odds(logits, y)[0].exp()), entropy)


def test_checkpoints_are_the_papers():
    """p = 0, 0.22, 0.41, 0.57, 0.70, 0.80, 0.87, 0.93, 0.99 of the steps (section 3, p_{j+1} = p_j + …)."""
    assert list(checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    for steps in (1, 2, 5, 17, 1000):
        marks = checkpoints(steps)
        assert math.isclose(sum(marks.values()), max(marks))
        assert max(marks) <= steps


@pytest.mark.parametrize("shape", [(), (7,), (1, 4, 6), (3, 4, 6), (2, 1, 1)])
@pytest.mark.parametrize("last", [True, False])
def test_rows_are_picked_as_indexing_picks_them(shape: tuple[int, ...], last: bool):
    values = torch.randn(9, *shape, generator=torch.Generator().manual_seed(0))
    values = laid_out(values) if last else values
    for index in (torch.tensor([5, 0, 5, 8]), values.flatten(0).view(9, -1)[:, 0] > 0, torch.zeros(9) > 0):
        rows = picked(values, index)
        assert torch.equal(rows, values[index])
        if last and len(shape) == 3 and len(rows) > 1:
            assert rows.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_laid_out_with_channels_last_and_one_channel_is_not_copied(channels: int):
    images = torch.randn(5, channels, 4, 6)
    found = laid_out(images)
    assert torch.equal(found, images)
    assert found.stride() == (24 * channels, 1, 6 * channels, channels)
    assert laid_out(found).data_ptr() == found.data_ptr()
    assert (found.data_ptr() == images.data_ptr()) == (channels == 1)
