"""APGD, FMN and the L2 norm: closed forms, the sweep's cascade, bad models."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from attacks import evasion
from attacks._model import NotFiniteError
from attacks._techniques import techniques
from attacks.evasion._attack import Batch, EvasionAttack
from attacks.evasion._losses import climb, margin
from attacks.evasion._search import bisected
from attacks.evasion._settings import PACKAGE
from attacks.evasion.pgd import pgd
from attacks.evasion.sweep import robust_curves, sweep
from attacks.probe import Examples, Measurement, Target

Unattacked = Callable[[Target, evasion.Settings], Batch]

WHITE_BOX = tuple(n for n, a in techniques(PACKAGE, EvasionAttack).items() if a.sees == "gradients")
NORMS = pytest.mark.parametrize("norm", ["linf", "l2"])
LIGHT = {"apgd_steps": 20, "targets": 3, "fmn_steps": 30, "steps": 10}


Settings = partial(evasion.Settings, level="quick")


def run(target: Target, settings: evasion.Settings, generator: torch.Generator) -> list[Measurement]:
    """The curves alone, without the checks of health."""
    if problems := settings.problems(target.bounds):
        raise ValueError("; ".join(problems))
    return robust_curves(target, settings, evasion.chosen_attacks(settings), generator)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def curve(rows: list[Measurement], attack: str) -> dict[float, np.ndarray]:
    rows = [row for row in rows if row.metric == "robust_accuracy" and row.at["attack"] == attack]
    return {row.at["eps"]: row.outcomes["correct"] for row in rows}


class Linear(nn.Module):
    def __init__(self, classes: int, features: int, seed: int) -> None:
        super().__init__()
        noise = torch.Generator().manual_seed(seed)
        self.weight = torch.randn(classes, features, generator=noise)
        self.bias = torch.randn(classes, generator=noise)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


def linear_case(classes: int, features: int, seed: int, norm: str) -> tuple[Target, Tensor]:
    """A linear classifier on its own predictions, and each example's exact distance to the nearest boundary:
    min over j of (z_y − z_j) / ‖w_y − w_j‖, in the dual norm."""
    model = Linear(classes, features, seed)
    x = torch.randn(40, features, generator=torch.Generator().manual_seed(seed + 1))
    logits = model(x)
    y = logits.argmax(1)
    gaps = (logits.gather(1, y[:, None]) - logits).double()
    apart = (model.weight[y][:, None] - model.weight).double()
    slopes = torch.linalg.vector_norm(apart, ord=1 if norm == "linf" else 2, dim=2)
    distance = torch.where(slopes > 0, gaps / slopes, torch.inf).amin(1)
    return Target(model, classes, (-1000.0, 1000.0), Examples(x, y)), distance


# Closed forms


@NORMS
@settings(max_examples=8, deadline=None)
@given(st.integers(2, 6), st.integers(2, 12), st.integers(0, 10_000))
def test_fmn_finds_the_exact_distance_to_a_linear_boundary(norm: str, classes: int, features: int, seed: int):
    target, exact = linear_case(classes, features, seed, norm)
    rows = run(target, Settings(norms=(norm,), eps=(0.1,), attacks=("fmn",)), generator())
    (row,) = (r for r in rows if r.metric == "adversarial_distance" and r.at["attack"] == "fmn")
    found = row.outcomes["distance"]
    assert (found >= exact.numpy() * (1 - 1e-4) - 1e-4).all()
    assert np.quantile(found / exact.numpy(), 0.9) < 1.01
    assert row.value == pytest.approx(float(np.median(exact)), rel=0.01, abs=1e-4)
    assert row.low <= row.value <= row.high


@NORMS
@settings(max_examples=6, deadline=None)
@given(st.integers(2, 5), st.integers(2, 12), st.integers(0, 10_000))
def test_attacks_are_exact_on_linear_models(norm: str, classes: int, features: int, seed: int):
    """Two and three classes among them. None breaks an example nearer than its distance; and apgd_t, which
    aims at every class in turn, breaks all that is a little farther."""
    target, exact = linear_case(classes, features, seed, norm)
    radii = tuple(float(q) for q in np.unique(np.quantile(exact.numpy(), [0.25, 0.5, 0.75])))
    config = Settings(norms=(norm,), eps=radii, attacks=WHITE_BOX, apgd_steps=40)
    rows = list(run(target, config, generator()))
    for eps in radii:
        assert curve(rows, "worst_case")[eps][(exact > eps * 1.001 + 1e-4).numpy()].all()
        assert not curve(rows, "apgd_t")[eps][(exact < eps * 0.99).numpy()].any()


@NORMS
@pytest.mark.parametrize("classes", [2, 3])
def test_each_attack_alone_breaks_two_and_three_classes(norm: str, classes: int):
    target, exact = linear_case(classes, 8, 5, norm)
    eps = float(exact.max()) * 1.05
    for name in WHITE_BOX if classes == 2 else ("apgd_t", "fmn"):
        rows = run(target, Settings(norms=(norm,), eps=(eps,), attacks=(name,)), generator())
        assert not curve(list(rows), name)[eps].any(), name


# Laws


@NORMS
def test_apgd_never_leaves_ball_or_bounds(target: Target, unattacked: Unattacked, norm: str):
    batch = unattacked(target, Settings(norms=(norm,), eps=(0.1,), restarts=2)).at(
        torch.arange(40), torch.linspace(0.01, 0.8, 40)
    )
    known = techniques(PACKAGE, EvasionAttack)
    for name in ("pgd", "apgd_ce", "apgd_t"):
        moved = known[name].run(batch, Settings(restarts=2, **LIGHT))
        assert (batch.ball.distance(moved, batch.x) <= batch.eps * (1 + 1e-5) + 1e-6).all(), name
        assert moved.min() >= 0, name
        assert moved.max() <= 1, name
        assert (moved != batch.x).flatten(1).any(1).all(), name


@NORMS
def test_batch_size_changes_nothing(target: Target, norm: str):
    config = Settings(norms=(norm,), eps=(0.05, 0.1, 0.3), attacks=WHITE_BOX, restarts=2, **LIGHT)
    few = replace(target, test=target.test[:80])
    first, *others = (list(run(replace(few, batch_size=size), config, generator())) for size in (1000, 37))
    for rows in others:
        for a, b in zip(first, rows, strict=True):
            assert a.at == b.at
            for name, values in a.outcomes.items():
                assert np.allclose(values, b.outcomes[name], atol=1e-4), a.at


def test_no_perturbation_is_clean_accuracy(target: Target):
    clean = (target.model(target.test.x).argmax(1) == target.test.y).numpy()
    for norm in ("linf", "l2"):
        rows = run(target, Settings(norms=(norm,), eps=(1e-12,), attacks=WHITE_BOX, **LIGHT), generator())
        for row in rows:
            if row.metric == "robust_accuracy":
                assert np.array_equal(row.outcomes["correct"], clean), row.at


def test_apgd_and_fmn_are_no_weaker_than_pgd_on_a_net(target: Target):
    eps = (0.05, 0.1, 0.15)
    strong = {
        name: curve(list(run(target, Settings(eps=eps, attacks=(name,)), generator())), name)
        for name in ("pgd", "apgd_ce", "fmn")
    }
    for e in eps:
        assert strong["apgd_ce"][e].mean() <= strong["pgd"][e].mean() + 0.01
        assert strong["fmn"][e].mean() <= strong["pgd"][e].mean() + 0.03


def test_radii_may_differ_by_norm(target: Target):
    config = Settings(norms=("linf", "l2"), eps={"linf": (0.1, 0.05), "l2": ("1/2",)})
    seen = {(row.at["norm"], row.at["eps"]) for row in run(target, config, generator())}
    assert seen == {("linf", 0.05), ("linf", 0.1), ("l2", 0.5)}
    with pytest.raises(ValueError, match="eps is given for linf, norms are linf, l2: name the same"):
        Settings(norms=("linf", "l2"), eps={"linf": (0.1,)})


# The cascade


def recorded(attack: EvasionAttack, seen: list[tuple[float, int]]) -> EvasionAttack:
    """The same, that takes down the ε and the seed of every example it is given."""

    def spy(batch: Batch, config: evasion.Settings) -> Tensor:
        seen.extend(zip(batch.eps.tolist(), batch.seeds[:, 0].tolist(), strict=True))
        return attack.run(batch, config)

    return replace(attack, run=spy)


def test_survivors_only_are_attacked_and_the_row_says_so(target: Target, unattacked: Unattacked):
    known, seen = techniques(PACKAGE, EvasionAttack), []
    attacks = {"apgd_ce": recorded(known["apgd_ce"], seen), "pgd": known["pgd"]}
    config = Settings(eps=(0.1,), **LIGHT)
    (found,) = sweep(target, config, attacks, generator())
    assert list(found.curves) == ["pgd", "apgd_ce"]  # by cost
    standing = (~found.curves["pgd"].broken[0])[found.right]
    assert sorted(seed for _, seed in seen) == sorted(unattacked(target, config).seeds[standing, 0].tolist())
    assert (found.curves["apgd_ce"].broken >= found.curves["pgd"].broken).all()
    rows = robust_curves(target, config, attacks, generator())
    notes = {row.at["attack"]: row.note for row in rows}
    assert notes["pgd"] == ""
    assert "what pgd left standing" in notes["apgd_ce"]


def test_dear_attacks_begin_at_the_largest_eps_still_standing(target: Target):
    """Where they fail there, as they mostly do, they are run once an example, however many ε there are."""
    known, seen = techniques(PACKAGE, EvasionAttack), []
    attacks = {"pgd": known["pgd"], "apgd_ce": recorded(known["apgd_ce"], seen)}
    grid = tuple(float(e) for e in np.linspace(0.02, 0.2, 10))
    (found,) = sweep(target, Settings(eps=grid), attacks, generator())
    assert len(seen) <= 1.3 * int(found.right.sum())


@NORMS
def test_a_found_distance_is_the_curve(target: Target, norm: str):
    config = Settings(norms=(norm,), eps=(0.05, 0.1, 0.3, 0.9), attacks=("fmn",), fmn_steps=40)
    rows = list(run(target, config, generator()))
    (row,) = (r for r in rows if r.metric == "adversarial_distance" and r.at["attack"] == "fmn")
    distance = row.outcomes["distance"]
    wrong = (target.model(target.test.x).argmax(1) != target.test.y).numpy()
    assert not distance[wrong].any()
    assert (distance[~wrong] > 0).all()
    for eps, standing in curve(rows, "fmn").items():
        assert np.array_equal(standing, distance > eps)


def test_where_nothing_is_found_the_distance_is_the_bounds(target: Target):
    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.eye(10)[0].expand(len(x), 10) + 0 * x.flatten(1).sum(1, keepdim=True)

    zeros = Examples(target.test.x, torch.zeros_like(target.test.y))
    rows = run(replace(target, model=Fixed(), test=zeros), Settings(attacks=("fmn",), **LIGHT), generator())
    (row,) = (r for r in rows if r.metric == "adversarial_distance" and r.at["attack"] == "fmn")
    assert row.value == 1.0
    assert f"for {len(zeros)} of {len(zeros)} examples none was found; they count as 1" in row.note


# Bad models and inputs


def changed(model: nn.Module, change: Callable[[Tensor], Tensor], *, before: bool = False) -> nn.Module:
    class Changed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return model(change(x)) if before else change(model(x))

    return Changed()


def test_training_mode_is_an_error(fresh: Callable[[int], nn.Module], target: Target):
    with pytest.raises(ValueError, match=r"training mode.*call eval\(\) first"):
        run(replace(target, model=fresh(0).train()), Settings(), generator())


@pytest.mark.parametrize(("scale", "shift"), [(255.0, 0.0), (1.0, -0.5), (math.nan, 0.0)])
def test_inputs_beyond_the_bounds_are_an_error(target: Target, scale: float, shift: float):
    moved = Examples(target.test.x * scale + shift, target.test.y)
    with pytest.raises(ValueError, match=r"beyond the bounds \[0, 1\]: set \[data\] bounds"):
        run(replace(target, test=moved), Settings(), generator())


@pytest.mark.parametrize("change", [lambda z: z[:, 0], lambda z: z.unsqueeze(2)], ids=["(N,)", "(N, C, 1)"])
def test_outputs_that_are_no_logits_are_an_error(target: Target, change: Callable[[Tensor], Tensor]):
    with pytest.raises(ValueError, match=r"must return logits \(N, classes\), not a tensor of shape"):
        run(replace(target, model=changed(target.model, change)), Settings(), generator())


@pytest.mark.parametrize("attack", WHITE_BOX)
def test_nan_logits_are_an_error_for_every_attack(target: Target, attack: str):
    def cliff(x: Tensor) -> Tensor:
        return torch.where((x.flatten(1) * 16 % 1 > 0.01).any(1).view(-1, 1, 1, 1), torch.nan, x)

    model = changed(target.model, cliff, before=True)
    with pytest.raises(NotFiniteError):
        run(replace(target, model=model), Settings(attacks=(attack,), **LIGHT), generator())


DEAD: Mapping[str, Callable[[Tensor], Tensor]] = {
    "detached": lambda x: x.detach(),
    "quantised": lambda x: (x * 8).round() / 8,
}


@pytest.mark.parametrize("name", DEAD)
def test_a_model_without_gradients_is_visible(target: Target, name: str):
    """Gradient attacks can do nothing; their rows, and the worst case, say why."""
    model = changed(target.model, DEAD[name], before=True)
    rows = run(replace(target, model=model), Settings(eps=(0.2,), attacks=WHITE_BOX, **LIGHT), generator())
    for row in rows:
        assert "gradient is zero" in row.note, row.at


def test_climb_of_a_model_that_ignores_its_input_is_zero():
    class Deaf(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.logits = nn.Parameter(torch.tensor([1.0, 0.0]))

        def forward(self, x: Tensor) -> Tensor:
            return self.logits.expand(len(x), 2)

    _, _, gradient = climb(Deaf(), torch.ones(3, 4), torch.zeros(3, dtype=torch.int64))
    assert not gradient.any()


def test_pgd_reads_its_batch_only(target: Target, unattacked: Unattacked):
    batch = unattacked(target, Settings(eps=(0.1,))).at(torch.arange(20), torch.full((20,), 0.1))
    before = batch.x.clone(), batch.gradient.clone()
    pgd(batch, Settings())
    assert torch.equal(batch.x, before[0])
    assert torch.equal(batch.gradient, before[1])


def test_a_find_is_drawn_to_where_its_line_crosses_the_boundary(unattacked: Unattacked):
    """Closed form: z_y − z_other falls along the line at a known rate. What is not wanted stays where it was,
    and what is returned is misclassified."""
    target, _ = linear_case(2, 6, 3, "l2")
    batch = unattacked(target, Settings(eps=(0.1,)))
    weight = target.model.weight
    ahead = (weight[1 - batch.y] - weight[batch.y]) * 5
    finds = batch.x + ahead
    crossing = margin(target.model(batch.x), batch.y) / -(
        (weight[batch.y] - weight[1 - batch.y]) * ahead
    ).sum(1)
    assert (target.model(finds).argmax(1) != batch.y).all()
    wanted = torch.arange(len(batch)) % 3 > 0
    drawn = bisected(batch, finds, wanted, 12)
    share = (drawn - batch.x).norm(dim=1) / ahead.norm(dim=1)
    assert torch.equal(drawn[~wanted], finds[~wanted])
    assert (target.model(drawn).argmax(1) != batch.y).all()
    off = share[wanted] - crossing[wanted]
    assert (off > -1e-4).all()
    assert (off < 2**-12 + 1e-4).all()
