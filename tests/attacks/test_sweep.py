"""What a curve rests on: distances of all finds, draws of random models, every ε where that is asked for."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attacks import evasion
from attacks._techniques import techniques
from attacks.evasion._attack import Batch
from attacks.evasion._curves import Sweep
from attacks.evasion._differences import untold
from attacks.evasion._losses import margin
from attacks.evasion._rows import DISTANCE, METRIC
from attacks.evasion._scale import AIM, Magnified, magnified
from attacks.evasion._search import DRAWS, draws
from attacks.evasion.sweep import robust_curves, sweep
from attacks.probe import Examples, Measurement, Target

Settings = partial(evasion.Settings, level="quick")


Unattacked = Callable[[Target, evasion.Settings], Batch]


def swept(target: Target, settings: evasion.Settings) -> Sweep:
    (found,) = sweep(target, settings, evasion.chosen_attacks(settings), torch.Generator().manual_seed(0))
    return found


def curves(target: Target, settings: evasion.Settings) -> list[Measurement]:
    attacks = evasion.chosen_attacks(settings)
    return robust_curves(target, settings, attacks, torch.Generator().manual_seed(0))


def pick(rows: list[Measurement], metric: str, attack: str, eps: float | None = None) -> Measurement:
    (row,) = [
        r
        for r in rows
        if (r.metric, r.at.get("attack")) == (metric, attack) and eps in (None, r.at.get("eps"))
    ]
    return row


# Distances


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_distance_is_that_of_the_closest_find_of_any_attack(target: Target, norm: str):
    """One step of FMN finds little; what PGD broke at 0.1 or 0.2 lies no farther than that."""
    grid = (0.1, 0.2) if norm == "linf" else (0.6, 1.2)
    config = Settings(eps=grid, norms=(norm,), attacks=("pgd", "fmn"), fmn_steps=1)
    rows = curves(target, config)
    own, closest = (pick(rows, DISTANCE, name).outcomes["distance"] for name in ("fmn", "worst_case"))
    assert (closest <= own).all()
    assert (closest < own).any()
    assert pick(rows, DISTANCE, "worst_case").value < pick(rows, DISTANCE, "fmn").value
    for eps in grid:
        standing = pick(rows, METRIC, "worst_case", eps).outcomes["correct"]
        assert np.array_equal(standing, closest > np.float32(eps))


def test_what_joins_the_worst_case_later_shortens_the_distance(target: Target):
    """The cure and transfer add to the worst case, and so to the distance."""
    found = swept(target, Settings(eps=(0.05, 0.1), attacks=("fmn",), fmn_steps=1))
    everything = replace(found, worst=torch.ones_like(found.worst))
    (row,) = [r for r in evasion.sweep.rows(everything) if r.metric == DISTANCE and r.at["attack"] != "fmn"]
    assert row.outcomes["distance"].max() <= np.float32(0.05)
    assert not row.note


# Small logits


class Divided(nn.Module):
    def __init__(self, model: nn.Module, by: float) -> None:
        super().__init__()
        self.model, self.by = model, by

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x) / self.by
        return logits


@pytest.mark.parametrize("by", [3.0, 100.0, 1e6])
def test_dividing_the_logits_makes_no_model_look_robust(by: float, target: Target):
    """Formerly log-odds climbed the mean of all classes, and the figure rose by fifteen points."""
    settings = Settings(eps=(0.05, 0.1, 0.15))
    plain = [r.value for r in curves(target, settings) if r.at["attack"] == "worst_case"]
    small = replace(target, model=Divided(target.model, by))
    found = [r.value for r in curves(small, settings) if r.at["attack"] == "worst_case"]
    assert found == pytest.approx(plain, abs=0.03)  # doubling healthy logits moves PGD as much


def test_magnified_logits_decide_as_they_did_and_are_large_enough(target: Target):
    x, y, small = target.test.x, target.test.y, Divided(target.model, 1e3)
    right = small(x).argmax(1) == y
    seen = magnified(small, small(x)[right], y[right])
    assert isinstance(seen, Magnified)
    ratio = seen(x) / small(x)
    assert torch.equal(ratio, ratio[0, 0].expand_as(ratio))
    assert AIM <= float(margin(seen(x)[right], y[right]).median()) <= 2 * AIM
    assert magnified(target.model, 10 * target.model(x)[right], y[right]) is target.model
    assert magnified(small, target.model(x)[right].softmax(1), y[right]) is small


# Gradients held against differences


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize(("hidden", "share"), [(0, 0.0), (16, 0.25), (48, 0.75)])
def test_what_a_gradient_leaves_untold_is_its_hidden_share(
    hidden: int, share: float, norm: str, unattacked: Unattacked
):
    """Of a linear model of two classes whose slopes are alike everywhere: so many of 64 values are hidden."""
    weight = torch.ones(64)

    class Hides(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: object, gradient: Tensor) -> Tensor:
            return gradient * (torch.arange(64) >= hidden)

    class Linear(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            z = Hides.apply(x) @ weight
            return torch.stack((z * 0, z), dim=1)

    x = 0.4 + 0.2 * torch.rand(300, 64, generator=torch.Generator().manual_seed(0))
    given = Target(Linear(), 2, (0.0, 1.0), Examples(x, torch.ones(300, dtype=torch.int64)), batch_size=300)
    batch = unattacked(given, Settings(eps=(0.05,), norms=(norm,), attacks=("fgsm",)))
    left = untold(batch, batch.model, 0.05, 0.005)
    assert float(left.mean()) == pytest.approx(share, abs=0.08)
    assert float(left.max()) < 1e-4 or hidden


# Random models


class Noisy(nn.Module):
    """A model whose logits are moved by fresh noise in every pass."""

    def __init__(self, model: nn.Module, noise: float) -> None:
        super().__init__()
        self.model, self.noise = model, noise

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)
        return logits + self.noise * torch.randn_like(logits)


@pytest.fixture
def noisy(target: Target) -> Target:
    torch.manual_seed(0)
    return replace(target, model=Noisy(target.model, 2.0))


@torch.no_grad()
def test_lucky_draws_break_nothing(noisy: Target):
    """At ε = 1e-5 nothing is to be gained: what stands is what one clean pass gets right, less what errs in
    most passes anyway. By one draw a candidate, dozens of candidates find a draw that errs."""
    x, y = noisy.test.x, noisy.test.y
    passes = torch.stack([noisy.model(x).argmax(1) == y for _ in range(200)]).double()
    mean = float(passes.mean())
    settings = Settings(eps=(1e-5,), attacks=("pgd", "apgd_ce", "square"), queries=50, apgd_steps=20)
    row = pick(curves(noisy, settings), METRIC, "worst_case")
    assert (passes.mean(0) < 1).double().mean() > 0.1  # there is luck to be had
    assert row.value > mean - 0.025
    assert f"most of {DRAWS} draws" in row.note


@pytest.mark.slow
def test_a_random_model_is_broken_where_it_errs_in_most_draws(target: Target, noisy: Target):
    """Its noise has no side: it holds out as its net without noise does, but for what is near the edge. The
    mean of three runs: which examples are right in the one pass that counts is luck."""
    settings = Settings(eps=(0.1,))
    still = pick(curves(target, settings), METRIC, "worst_case").value
    found = [
        pick(list(evasion.run(noisy, settings, torch.Generator().manual_seed(seed))), METRIC, "worst_case")
        for seed in range(3)
    ]
    assert abs(sum(row.value for row in found) / 3 - still) < 0.06


def test_only_random_models_are_asked_twice(target: Target, noisy: Target):
    assert draws(target.model, target.test.x[:64]) == 1
    assert draws(noisy.model, target.test.x[:64]) == DRAWS
    assert "draws" not in pick(curves(target, Settings(eps=(0.1,))), METRIC, "pgd").note


# Every ε


class Shell(nn.Module):
    """Wrong only where 0.04 < x < 0.06, though the slope leads on outwards for ever."""

    def forward(self, x: Tensor) -> Tensor:
        other = 0.1 * x - 1 + 5 * ((x > 0.04) & (x < 0.06))
        return torch.cat((torch.zeros_like(x), other), 1)


@pytest.fixture
def shells() -> Target:
    """Twenty examples at the origin of a line, of class 0."""
    return Target(Shell(), 2, (-1.0, 1.0), Examples(torch.zeros(20, 1), torch.zeros(20, dtype=torch.int64)))


def test_a_wrong_inference_is_found_out_and_given_up(shells: Target):
    """Led past the shell at 0.2, PGD lands in it at 0.05."""
    config = Settings(eps=(0.05, 0.2), attacks=("pgd",), steps=3)
    found = swept(shells, config)
    assert not found.curves["pgd"].broken.any()
    assert found.trial is not None
    assert found.trial.refuted
    assert found.worst.all()
    rows = list(evasion.run(shells, config, torch.Generator().manual_seed(0)))
    (flag,) = [r for r in rows if r.at.get("flag") == "inferred_wrongly"]
    assert flag.value == 1.0 > flag.at["limit"]
    assert "20 stand by inference" in pick(rows, METRIC, "pgd", 0.05).note
    assert "20 of 20 broke where they were inferred to stand; so every ε was attacked" in (
        pick(rows, METRIC, "worst_case", 0.05).note
    )


def test_thorough_attacks_every_eps(shells: Target):
    assert evasion.Settings(level="thorough").every_eps
    assert not evasion.Settings(level="standard").every_eps
    found = swept(shells, Settings(eps=(0.05, 0.2), attacks=("pgd",), steps=3, every_eps=True))
    assert found.curves["pgd"].broken.all()
    assert found.trial is None


def test_what_survives_where_every_eps_is_attacked_was_attacked_there(target: Target, unattacked: Unattacked):
    told: set[tuple[int, float]] = set()
    plain = techniques("attacks.evasion", evasion._attack.EvasionAttack)["pgd"]

    def spy(batch: evasion._attack.Batch, config: evasion.Settings) -> Tensor:
        told.update(zip(batch.seeds[:, 0].tolist(), batch.eps.tolist(), strict=True))
        return plain.run(batch, config)

    settings = Settings(eps=(0.02, 0.05, 0.1), attacks=("pgd",), steps=5, every_eps=True)
    generator = torch.Generator().manual_seed(0)
    (found,) = sweep(target, settings, {"pgd": replace(plain, run=spy)}, generator)
    standing = ~found.curves["pgd"].broken[:, found.right]
    batch = unattacked(target, settings)
    for rung, eps in enumerate(found.grid.float().tolist()):
        seeds = batch.seeds[standing[rung], 0].tolist()
        assert {(seed, eps) for seed in seeds} <= told


def test_a_sound_inference_is_told_and_stands(target: Target):
    found = swept(target, Settings(eps=(0.02, 0.05, 0.1, 0.15), attacks=("pgd",)))
    assert found.trial is not None
    assert not found.trial.refuted
    row = pick(evasion.sweep.rows(found), METRIC, "pgd", 0.02)
    assert "stand by inference" in row.note
