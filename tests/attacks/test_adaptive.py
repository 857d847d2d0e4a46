"""The user's own attack: what it finds is checked, what it breaks of itself is its own row."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attacks import evasion
from attacks.evasion import _adaptive
from attacks.evasion.sweep import robust_curves
from attacks.probe import Examples, Measurement, Target

LIGHT = {"steps": 10, "apgd_steps": 8, "targets": 2}


class Masked(nn.Module):
    """A net whose gradient cannot be had: no attack that follows it finds anything."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.detach())


@pytest.fixture
def few(target: Target) -> Target:
    return replace(target, test=target.test[:30])


def curves(target: Target, function: Callable[..., Any], **given: Any) -> list[Measurement]:
    """The rows of PGD and of the user's attack."""
    settings = evasion.Settings(
        **{"level": "quick", "attacks": ("pgd",), "eps": (0.1, 0.2), **LIGHT, **given}
    )
    attacks = evasion.chosen_attacks(settings)
    attacks[_adaptive.NAME] = _adaptive.adapted(function, target.model)
    return robust_curves(target, settings, attacks, torch.Generator().manual_seed(0))


def of(rows: list[Measurement], attack: str) -> dict[float, np.ndarray]:
    return {row.at["eps"]: row.outcomes["correct"] for row in rows if row.at["attack"] == attack}


def test_a_twin_unmasks_what_hides_its_gradients(few: Target):
    bare = curves(few, lambda model: model)
    masked = curves(replace(few, model=Masked(few.model)), lambda model: model.net)
    clean = (few.model(few.test.x).argmax(1) == few.test.y).numpy()
    for eps in (0.1, 0.2):
        assert (of(masked, "pgd")[eps] == clean).all()  # led astray
        assert of(masked, "adaptive")[eps].sum() <= of(bare, "pgd")[eps].sum() < clean.sum()
        assert (of(masked, "worst_case")[eps] == of(masked, "adaptive")[eps]).all()


def test_a_twin_off_by_a_little_is_followed_by_its_gradients_alone(few: Target):
    """As if it were the model it leads nowhere: it takes every input for wrong. Its gradients are right."""

    class Wrong(nn.Module):
        def __init__(self, net: nn.Module) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> Tensor:
            z = self.net(x)
            return z - 2 * z.detach()  # its decisions upside down, its gradients those of the net

    masked = replace(few, model=Masked(few.model))
    right = of(curves(masked, lambda model: model.net), "adaptive")[0.2]
    upside_down = of(curves(masked, lambda model: Wrong(model.net)), "adaptive")[0.2]
    assert upside_down.sum() <= right.sum() + 1


def test_a_twin_of_nothing_finds_nothing(few: Target):
    class Blank(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 0 * x.flatten(1)[:, :10]

    rows = curves(few, lambda model: Blank(), eps=(1e-6,))
    clean = (few.model(few.test.x).argmax(1) == few.test.y).numpy()
    assert (of(rows, "adaptive")[1e-6] == clean).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_candidates_on_a_linear_model_break_what_is_nearer_than_its_distance(norm: str):
    weight = torch.randn(6, generator=torch.Generator().manual_seed(1))

    class Linear(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            score = x @ weight
            return torch.stack((score, -score), dim=1)

    x = torch.randn(50, 6, generator=torch.Generator().manual_seed(2))
    y = Linear()(x).argmax(1)
    exact = (x @ weight).abs() / torch.linalg.vector_norm(weight, ord=1 if norm == "linf" else 2)
    asked: list[dict[str, Any]] = []

    def mine(x: Tensor, y: Tensor, eps: float, norm: str, low: float, high: float, seed: int) -> Tensor:
        asked.append({"eps": eps, "norm": norm, "low": low, "high": high, "seed": seed})
        step = weight.sign() if norm == "linf" else weight / weight.norm()
        x += 100 * eps * torch.where(y == 0, -1.0, 1.0)[:, None] * step  # far beyond, and in place
        return x

    eps = tuple(float(q) for q in exact.quantile(torch.tensor([0.3, 0.6])))
    target = Target(Linear(), 2, (-1e3, 1e3), Examples(x, y))
    found = of(curves(target, mine, norms=(norm,), eps=eps), "adaptive")
    for radius in eps:
        sure = ((exact - radius).abs() > 1e-4 * (1 + radius)).numpy()
        assert (found[radius] == (exact > radius).numpy())[sure].all()
    assert {a["norm"] for a in asked} == {norm}
    assert {a["eps"] for a in asked} == set(eps)
    assert {(a["low"], a["high"]) for a in asked} == {(-1e3, 1e3)}


def test_what_it_does_to_its_model_does_not_reach_the_audited_one(few: Target):
    def vandal(model: nn.Module, x: Tensor) -> Tensor:
        for parameter in model.parameters():
            parameter.data.zero_()
        model.train()
        np.random.seed(5)
        torch.manual_seed(5)
        return x

    before = {name: value.clone() for name, value in few.model.state_dict().items()}
    luck = torch.random.get_rng_state()
    rows = curves(few, vandal)
    clean = (few.model(few.test.x).argmax(1) == few.test.y).numpy()
    assert (of(rows, "adaptive")[0.2] == clean).all()
    assert all((value == before[name]).all() for name, value in few.model.state_dict().items())
    assert not few.model.training
    assert (torch.random.get_rng_state() == luck).all()


def broken(model: nn.Module) -> nn.Module:
    raise KeyError("no such layer")


def not_a_number(x: Tensor, y: Tensor) -> Tensor:
    return torch.full_like(x, torch.nan)


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (broken, "KeyError: 'no such layer'"),
        (lambda model: 5, "returned int, not a torch.nn.Module"),
        (lambda x, y: x[:1], "candidates of shape (1, 1, 8, 8)"),
        (lambda model: nn.Flatten(0), "must return logits"),
        (lambda x, budget: x, "'budget' is none of those offered"),
        (None, "the target has no such function"),
    ],
)
def test_its_crash_is_its_own_failed_row(few: Target, function: Any, why: str):
    rows = curves(few, function)
    failed = [row for row in rows if row.at["attack"] == "adaptive"]
    assert {row.at["eps"] for row in failed} == {0.1, 0.2}
    for row in failed:
        assert row.status == "failed"
        assert row.note.startswith("the adaptive attack: ")
        assert why in row.note
    assert of(rows, "pgd")
    assert of(rows, "worst_case")


def test_candidates_that_are_no_numbers_find_nothing(few: Target):
    clean = (few.model(few.test.x).argmax(1) == few.test.y).numpy()
    assert (of(curves(few, not_a_number), "adaptive")[0.2] == clean).all()


def test_the_probe_runs_it_beside_the_others(few: Target):
    settings = evasion.Settings(
        level="quick", attacks=("fgsm",), eps=(0.1,), adaptive="mine.py:twin", **LIGHT
    )
    whole = replace(few, adaptive=lambda model: model)
    rows = evasion.run(whole, settings, torch.Generator().manual_seed(0))
    by = {row.at.get("attack"): row for row in rows if row.metric == "robust_accuracy"}
    assert by["adaptive"].value <= by["fgsm"].value
    assert by["worst_case"].value <= by["adaptive"].value
    rows = evasion.run(few, settings, torch.Generator().manual_seed(0))  # nobody handed the function in
    assert {row.status for row in rows if row.at.get("attack") == "adaptive"} == {"failed"}


def test_it_is_not_run_again_on_a_few_examples_for_their_pictures(few: Target):
    def picky(x: Tensor, y: Tensor) -> Tensor:
        assert len(x) > 3
        return x

    rows = curves(few, picky)
    assert any("adversarial" in (row.outcomes or {}) for row in rows)
    assert {row.status for row in rows if row.at["attack"] == "adaptive"} == {"ok"}
