import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent
from art.estimators.classification import PyTorchClassifier
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from attacks import evasion
from attacks._model import NotFiniteError
from attacks.evasion._attack import Batch, EvasionAttack
from attacks.evasion._balls import BALLS
from attacks.evasion._losses import climb, odds
from attacks.evasion._search import check, each, smallest
from attacks.evasion.fgsm import fgsm
from attacks.evasion.pgd import pgd
from attacks.evasion.sweep import robust_curves
from attacks.probe import Examples, Measurement, Target

EPS = (0.03, 0.06, 0.1, 0.15, 0.2)


Settings = partial(evasion.Settings, level="quick")


def run(target: Target, settings: evasion.Settings, generator: torch.Generator) -> list[Measurement]:
    """The curves alone, without the checks of health."""
    if problems := settings.problems(target.bounds):
        raise ValueError("; ".join(problems))
    return robust_curves(target, settings, evasion.chosen_attacks(settings), generator)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def curve(rows: list[Measurement], attack: str) -> dict[float, np.ndarray]:
    """The per-example outcomes by ε."""
    return {r.at["eps"]: r.outcomes["correct"] for r in rows if r.at["attack"] == attack}


def batch_of(
    model: nn.Module, x: Tensor, y: Tensor, eps: Tensor, bounds: tuple[float, float], norm: str = "linf"
) -> Batch:
    logits, _, gradient = climb(model, x, y)
    seeds = torch.arange(len(y) * 4).view(-1, 4)
    return Batch(model, BALLS[norm], bounds, x, y, logits, gradient, seeds, eps)


@pytest.fixture(scope="module")
def rows(target: Target) -> list[Measurement]:
    return list(run(target, Settings(eps=EPS), generator()))


# Against the Adversarial Robustness Toolbox


@pytest.fixture(scope="module")
def art(trained: nn.Module) -> PyTorchClassifier:
    own, loss = copy.deepcopy(trained), nn.CrossEntropyLoss()
    return PyTorchClassifier(own, loss, (1, 8, 8), 10, clip_values=(0.0, 1.0), device_type="cpu")


def test_fgsm_breaks_what_art_breaks(target: Target, art: PyTorchClassifier, rows: list[Measurement]):
    x, y = target.test.x.numpy(), target.test.y.numpy()
    for eps, ours in curve(rows, "fgsm").items():
        theirs = art.predict(FastGradientMethod(art, eps=eps, batch_size=256).generate(x, y)).argmax(1) == y
        assert np.array_equal(ours, theirs), eps


def test_pgd_is_never_weaker_than_arts(target: Target, art: PyTorchClassifier, rows: list[Measurement]):
    x, y = target.test.x.numpy(), target.test.y.numpy()
    for eps, ours in curve(rows, "pgd").items():
        attack = ProjectedGradientDescent(
            art,
            eps=eps,
            eps_step=2.5 * eps / 40,
            max_iter=40,
            num_random_init=0,
            batch_size=256,
            verbose=False,
        )
        theirs = art.predict(attack.generate(x, y)).argmax(1) == y
        assert ours.mean() <= theirs.mean() + 0.005
        assert ours.mean() >= theirs.mean() - 0.05  # else something that is not an attack is being counted


# Against closed forms


class Linear(nn.Module):
    def __init__(self, classes: int, features: int, seed: int) -> None:
        super().__init__()
        self.weight = torch.randn(classes, features, generator=generator(seed))
        self.bias = torch.randn(classes, generator=generator(seed + 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


def linear_case(classes: int, features: int, seed: int, rivals: int | None = None) -> tuple[Target, Tensor]:
    """A linear classifier on its own predictions, and each example's L∞ distance to the nearest boundary:
    min over j of (z_y − z_j) / ‖w_y − w_j‖₁. All but ``rivals`` classes are far out of reach."""
    model = Linear(classes, features, seed)
    model.bias[rivals or classes :] -= 100
    x = torch.randn(60, features, generator=generator(seed + 2))
    logits = model(x)
    y = logits.argmax(1)
    gap = (logits.gather(1, y[:, None]) - logits).double()
    norm = (model.weight[y][:, None] - model.weight).abs().sum(2).double()
    distance = torch.where(norm > 0, gap / norm, torch.inf).amin(1)
    return Target(model, classes, (-1000.0, 1000.0), Examples(x, y)), distance


def quantiles(distance: Tensor) -> tuple[float, ...]:
    return tuple(float(q) for q in np.unique(np.quantile(distance.numpy(), [0.2, 0.5, 0.8])))


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 6), st.integers(2, 12), st.integers(0, 10_000))
def test_no_linear_example_breaks_nearer_than_its_distance(classes: int, features: int, seed: int):
    target, distance = linear_case(classes, features, seed)
    found = run(target, Settings(eps=quantiles(distance), steps=10, restarts=2), generator())
    for eps, standing in curve(list(found), "worst_case").items():
        assert standing[(distance > eps * 1.001).numpy()].all()


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 6), st.integers(2, 12), st.integers(0, 10_000))
def test_every_linear_example_breaks_just_beyond_its_distance(classes: int, features: int, seed: int):
    """With one rival in reach the steepest direction is the same everywhere: both attacks are exact."""
    target, distance = linear_case(classes, features, seed, rivals=2)
    found = run(target, Settings(eps=quantiles(distance)), generator())
    for name in ("fgsm", "pgd"):
        for eps, standing in curve(list(found), name).items():
            assert not standing[(distance < eps * 0.999).numpy()].any(), (name, eps)


def test_odds_weights_point_where_cross_entropy_does():
    x = torch.randn(20, 6, generator=generator(), dtype=torch.float64)
    y = torch.arange(20) % 6
    logits = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(F.cross_entropy(logits, y, reduction="sum"), logits)
    ours = odds(x, y)[1]
    scale = 1 - F.softmax(x, 1).gather(1, y[:, None])
    assert torch.allclose(ours * scale, slope, atol=1e-12)


def test_a_saturated_softmax_still_yields_a_gradient():
    """Logits hundreds apart: cross-entropy's float32 gradient is exactly zero, and FGSM would do nothing."""
    target, distance = linear_case(2, 5, 3)
    model = target.model
    model.weight.mul_(1e4)
    model.bias.mul_(1e4)
    x = target.test.x.clone().requires_grad_()
    assert (torch.autograd.grad(F.cross_entropy(model(x), target.test.y), x)[0] == 0).any()
    eps = float(distance.max()) * 1.01
    assert not curve(list(run(target, Settings(eps=(eps,)), generator())), "fgsm")[eps].any()


# The search


def unknown(batch: Batch, grid: Tensor) -> Tensor:
    return torch.zeros(len(grid), len(batch), dtype=torch.bool)


def exhaustive(attack: EvasionAttack, batch: Batch, grid: Tensor, config: evasion.Settings) -> Tensor:
    """Every ε attacked in full, and a find counted at every larger ε."""
    return each(attack, batch, grid, unknown(batch, grid), config, 1000).cumsum(0) > 0


def test_search_finds_what_attacking_every_eps_finds(target: Target):
    x, y = target.test.x, target.test.y
    right = target.model(x).argmax(1) == y
    batch = batch_of(target.model, x[right], y[right], torch.zeros(int(right.sum())), target.bounds)
    grid, config = torch.linspace(0.02, 0.2, 10, dtype=torch.float64), Settings(eps=EPS, steps=20)
    attack = EvasionAttack(pgd, "smallest", "")
    searched = smallest(attack, batch, grid, unknown(batch, grid), config, 64)
    full = exhaustive(attack, batch, grid, config)
    assert (searched != full).float().mean() <= 0.002  # PGD itself is not monotone in ε, very rarely
    assert (full & ~searched).sum() <= 1


def test_survivors_were_attacked_in_full_at_the_eps_they_survive(target: Target):
    """Of the largest ε an example is reported to survive, and of no smaller one only, the attack was told."""
    attacked: dict[float, set[int]] = {}

    def spy(batch: Batch, config: evasion.Settings) -> Tensor:
        for seed, eps in zip(batch.seeds[:, 0].tolist(), batch.eps.double().tolist(), strict=True):
            attacked.setdefault(round(eps, 4), set()).add(seed)
        return pgd(batch, config)

    x, y = target.test.x, target.test.y
    right = target.model(x).argmax(1) == y
    batch = batch_of(target.model, x[right], y[right], torch.zeros(int(right.sum())), target.bounds)
    grid = torch.linspace(0.02, 0.2, 10, dtype=torch.float64)
    attack, config = EvasionAttack(spy, "smallest", ""), Settings(eps=EPS, steps=10)
    broken = smallest(attack, batch, grid, unknown(batch, grid), config, 64)
    survived = (~broken).sum(0) - 1
    assert (survived >= 0).any()
    for seed, rung in zip(batch.seeds[:, 0].tolist(), survived.tolist(), strict=True):
        if rung >= 0:
            assert seed in attacked[round(float(grid[rung]), 4)]


def test_a_find_nearer_than_a_failure_reopens_what_lies_below():
    """An attack that fails at 0.2 by bad luck and at 0.3 finds something only 0.07 away: 0.1 is settled, and
    0.05, which no attack has been tried at, still has to be."""
    tried: list[float] = []

    class Beyond(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.cat((torch.ones(len(x), 1), 2.0 * (x.abs() > 0.06)), 1)

    def unlucky(batch: Batch, config: evasion.Settings) -> Tensor:
        tried.append(round(float(batch.eps), 3))
        return batch.x + (0.07 if tried[-1] == 0.3 else 0.0)

    x, logits = torch.zeros(1, 1), torch.tensor([[1.0, 0.0]])
    y = torch.zeros(1, dtype=torch.int64)
    gradient = torch.full((1, 1), 1 / 0.2)  # by which the search begins at 0.2
    batch = Batch(Beyond(), BALLS["linf"], (-1.0, 1.0), x, y, logits, gradient, y[:, None], x[0])
    grid = torch.tensor([0.05, 0.1, 0.2, 0.3], dtype=torch.float64)
    attack = EvasionAttack(unlucky, "smallest", "")
    broken = smallest(attack, batch, grid, unknown(batch, grid), Settings(), 10)
    assert broken.squeeze(1).tolist() == [False, True, True, True]
    assert tried == [0.2, 0.3, 0.05]


class Shell(nn.Module):
    """Wrong only where 0.04 < x < 0.06, though the slope leads on outwards for ever."""

    def forward(self, x: Tensor) -> Tensor:
        other = 0.1 * x - 1 + 5 * ((x > 0.04) & (x < 0.06))
        return torch.cat((torch.zeros_like(x), other), 1)


class Bump(nn.Module):
    """Wrong only where 0.15 < x < 0.25, though the slope leads to 0.1 from both sides."""

    def forward(self, x: Tensor) -> Tensor:
        other = 2 * ((x > 0.15) & (x < 0.25)) - 1 - (x - 0.1).abs()
        return torch.cat((torch.zeros_like(x), other), 1)


class Plateau(nn.Module):
    """Flat where the clean input lies: no gradient shows the way to the error beyond."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((torch.zeros_like(x), 10 * (x.abs() - 0.05).clamp(min=0) - 1), 1)


@pytest.fixture
def line() -> Target:
    """Twenty examples at the origin of a line, of class 0."""
    origin = Examples(torch.zeros(20, 1), torch.zeros(20, dtype=torch.int64))
    return Target(Shell(), 2, (-1.0, 1.0), origin)


def test_an_iterate_on_the_way_counts(line: Target):
    """PGD meets the error in its first step and ends far from it."""
    for name in ("pgd", "apgd_ce"):
        config = Settings(eps=(0.2,), steps=10, attacks=(name,))
        rows = run(replace(line, model=Bump()), config, generator())
        assert not curve(list(rows), name)[0.2].any()


def test_worst_case_keeps_what_a_smaller_eps_broke(line: Target):
    """FGSM lands in the error at 0.05 and beyond it at 0.2; so it is reported, but the worst case knows."""
    rows = list(run(line, Settings(eps=(0.2, 0.05), attacks=("fgsm",)), generator()))
    plain, worst = curve(rows, "fgsm"), curve(rows, "worst_case")
    assert plain[0.2].all()
    assert not plain[0.05].any()
    assert not worst[0.2].any()


def test_restarts_leave_a_plateau(line: Target):
    stuck = replace(line, model=Plateau())
    for restarts, standing in ((1, 1.0), (8, 0.0)):
        rows = run(stuck, Settings(eps=(0.3,), restarts=restarts), generator())
        assert curve(list(rows), "pgd")[0.3].mean() == standing


@pytest.mark.parametrize(
    ("move", "why"), [(0.2, "outside the ball"), (-0.09, "outside the bounds"), (0.05, "not misclassified")]
)
def test_what_does_not_hold_when_checked_is_not_counted(target: Target, move: float, why: str):
    class Fickle(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            shown = (inputs.flatten(1).mean(1) - 0.05).abs() > 0.06
            return torch.stack((~shown, shown), 1).float()

    x, y = torch.full((1, 4), 0.05), torch.tensor([0])
    batch = batch_of(Fickle(), x, y, torch.tensor([0.1]), (0.0, 1.0))
    assert not check(batch, x + move).broken.any(), why
    assert check(batch, x + 0.08).broken.all()


# Laws


def test_larger_balls_break_more(rows: list[Measurement]):
    for name in ("pgd", "worst_case"):
        assert all((b <= a).all() for a, b in pairwise(curve(rows, name).values()))


def test_worst_case_is_taken_per_example(rows: list[Measurement]):
    worst, fgsm_, pgd_ = (curve(rows, name) for name in ("worst_case", "fgsm", "pgd"))
    so_far = np.ones_like(worst[EPS[0]])
    for eps in EPS:
        so_far &= fgsm_[eps] & pgd_[eps]
        assert np.array_equal(worst[eps], so_far)


def test_natural_errors_count_as_broken(target: Target, rows: list[Measurement]):
    wrong = (target.model(target.test.x).argmax(1) != target.test.y).numpy()
    assert wrong.any()
    for row in rows:
        assert not row.outcomes["correct"][wrong].any()
        assert row.n == len(wrong)


@given(
    st.integers(0, 1000),
    st.floats(1e-4, 3),
    st.tuples(st.floats(-5, 0), st.floats(0.1, 5)),
    st.integers(1, 4),
)
@settings(max_examples=30, deadline=None)
def test_candidates_stay_in_ball_and_bounds(
    seed: int, eps: float, bounds: tuple[float, float], restarts: int
):
    model = Linear(3, 6, seed)
    x = torch.empty(10, 6).uniform_(*bounds, generator=generator(seed))
    y = model(x).argmax(1)
    batch = batch_of(model, x, y, torch.full((10,), eps), bounds)
    for attack in (fgsm, pgd):
        moved = attack(batch, Settings(steps=5, restarts=restarts))
        assert ((moved - x).abs() <= eps * (1 + 1e-5) + 1e-6).all()
        assert ((moved >= bounds[0] - 1e-6) & (moved <= bounds[1] + 1e-6)).all()


def test_restarts_never_help_the_defender(target: Target):
    few = list(run(target, Settings(eps=EPS, steps=5, attacks=("pgd",)), generator()))
    many = list(run(target, Settings(eps=EPS, steps=5, restarts=4, attacks=("pgd",)), generator()))
    for eps in EPS:
        assert (curve(many, "pgd")[eps] <= curve(few, "pgd")[eps]).all()


def test_random_starts_are_uniform_and_each_examples_own():
    x, eps = torch.full((400, 30), 0.5), torch.full((400,), 0.2)
    seeds = torch.arange(400)
    starts = BALLS["linf"].sample(seeds, x, eps, (0.0, 1.0))
    assert abs(float((starts - 0.5).mean())) < 0.005
    assert float((starts - 0.5).var()) == pytest.approx(0.4**2 / 12, rel=0.05)
    assert torch.equal(BALLS["linf"].sample(seeds[100:103], x[:3], eps[:3], (0.0, 1.0)), starts[100:103])


def test_noise_alone_breaks_little(target: Target, rows: list[Measurement], monkeypatch: pytest.MonkeyPatch):
    """Null control: with gradients of random sign the attack is noise, and finds far less."""
    noise = generator(5)

    def blind(*given: object) -> tuple[Tensor, Tensor, Tensor]:
        logits, loss, gradient = climb(*given)
        return logits, loss, torch.randn(gradient.shape, generator=noise)

    monkeypatch.setattr("attacks.evasion.pgd.climb", blind)
    monkeypatch.setattr("attacks.evasion._clean.climb", blind)
    blind_rows = list(run(target, Settings(eps=EPS), generator()))
    for eps in EPS[2:]:
        assert curve(blind_rows, "worst_case")[eps].mean() > curve(rows, "worst_case")[eps].mean() + 0.2


def test_a_large_ball_breaks_everything(target: Target):
    rows = run(target, Settings(eps=(0.6,)), generator())
    assert curve(list(rows), "worst_case")[0.6].mean() <= 0.01


# Bad models and bad settings


def test_nan_is_an_error_and_no_figure(trained: nn.Module, make_target: Callable[..., Target]):
    broken = copy.deepcopy(trained)
    broken.out.bias[3] = torch.nan
    with pytest.raises(NotFiniteError, match="NaN or infinite logits for 128 of 128"):
        run(make_target(broken), Settings(), generator())


def test_nan_that_appears_only_under_attack_is_an_error(target: Target):
    class Cliff(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            logits = target.model(x)
            moved = (x.flatten(1) * 16 % 1 > 0.01).any(1, keepdim=True)
            return torch.where(moved, torch.nan, logits)

    with pytest.raises(NotFiniteError):
        run(replace(target, model=Cliff()), Settings(), generator())


def test_no_examples_is_an_error(target: Target):
    with pytest.raises(ValueError, match="no test examples"):
        run(replace(target, test=target.test[:0]), Settings(), generator())


def test_a_model_that_is_always_wrong_is_measured(target: Target):
    wrong = Examples(target.test.x, (target.model(target.test.x).argmax(1) + 1) % 10)
    rows = run(replace(target, test=wrong), Settings(eps=(0.1,)), generator())
    assert [row.value for row in rows] == [0.0, 0.0, 0.0]


def test_eps_as_fractions():
    assert Settings(eps=("8/255", " 0.1 ", 0.2)).eps == (8 / 255, 0.1, 0.2)


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"eps": (0,)}, "greater than 0"),
        ({"eps": (-0.1,)}, "greater than 0"),
        ({"eps": ("8/0",)}, "neither a number such as 0.1 nor a fraction"),
        ({"eps": ("much",)}, "neither a number such as 0.1 nor a fraction"),
        ({"eps": (True,)}, "write a number"),
        ({"eps": (float("nan"),)}, "finite"),
        ({"eps": ()}, "at least 1 item"),
        ({"eps": (0.1, "1/10")}, "given twice"),
        ({"attacks": ("pdg",)}, "no such attack: pdg; there are: .*fgsm.*pgd"),
        ({"attacks": ()}, "name at least one attack of: .*fgsm.*pgd"),
        ({"norms": ("l7",)}, "linf"),
        ({"steps": 0}, "greater than or equal to 1"),
        ({"epsilons": (0.1,)}, "Extra inputs"),
    ],
)
def test_bad_settings_say_why(given_: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        Settings(**given_)  # type: ignore[arg-type]


def test_eps_beyond_the_bounds_is_a_problem(target: Target):
    assert Settings(eps=(0.1, 1.0)).problems((0.0, 1.0)) == []
    (problem,) = Settings(eps=(0.1, 8)).problems((0.0, 1.0))
    assert "eps: 8 is larger than the width of the bounds [0, 1]" in problem
    with pytest.raises(ValueError, match="larger than the width"):
        run(target, Settings(eps=(8,)), generator())
