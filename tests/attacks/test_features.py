"""Features that are not alike: closed forms on tables, and that the check of a find can fail."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attacks import evasion
from attacks.evasion._attack import EvasionAttack
from attacks.evasion._features import in_units
from attacks.evasion.sweep import robust_curves
from attacks.probe import Examples, Features, Measurement, Target

NORMS = pytest.mark.parametrize("norm", ["linf", "l2"])
LIGHT = {"apgd_steps": 20, "steps": 10, "targets": 2, "fmn_steps": 40, "queries": 60}
SCALE = torch.tensor([0.02, 1.0, 12.0, 3000.0, 0.5, 7.0], dtype=torch.float64)
OFFSET = torch.tensor([0.0, 5.0, 40.0, 50_000.0, -3.0, 0.0])
MUTABLE = torch.tensor([True, True, True, True, False, False])


class Linear(nn.Module):
    """Logits of the standardised features."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.weight = torch.randn(classes, 6, generator=torch.Generator().manual_seed(classes))

    def forward(self, x: Tensor) -> Tensor:
        return ((x - OFFSET) / SCALE.float()) @ self.weight.T


def table(classes: int, low: Tensor, high: Tensor, count: int = 40) -> Target:
    """A linear model on its own predictions."""
    x = torch.randn(count, 6, generator=torch.Generator().manual_seed(9)) * SCALE.float() + OFFSET
    x = torch.maximum(torch.minimum(x, high.float()), low.float())
    x = x.double().clamp(low, high).float()
    model = Linear(classes)
    features = Features(SCALE, low.double(), high.double(), MUTABLE)
    bounds = (float(low.min()), float(high.max()))
    return Target(model, classes, bounds, Examples(x, model(x).argmax(1)), features=features)


FAR = OFFSET - 1000 * SCALE.float(), OFFSET + 1000 * SCALE.float()
NEAR = OFFSET - 1.5 * SCALE.float(), OFFSET + 1.5 * SCALE.float()


def run(target: Target, **given: Any) -> list[Measurement]:
    settings = evasion.Settings(**{**LIGHT, **given})
    return list(evasion.run(target, settings, torch.Generator().manual_seed(0)))


def curve(rows: list[Measurement], attack: str) -> dict[float, np.ndarray]:
    return {
        row.at["eps"]: row.outcomes["correct"]
        for row in rows
        if row.metric == "robust_accuracy" and row.at["attack"] == attack and row.outcomes
    }


@NORMS
@pytest.mark.parametrize("classes", [2, 3])
def test_the_distance_to_a_linear_boundary_is_that_of_its_scaled_mutable_features(norm: str, classes: int):
    """margin / ‖w ∘ s‖ over what can change, in the dual norm: SCALE cancels that of the model here."""
    target = table(classes, *FAR)
    x, y = target.test.x, target.test.y
    z = target.model(x).double()
    apart = (target.model.weight[y][:, None] - target.model.weight).double()[:, :, MUTABLE]
    slopes = torch.linalg.vector_norm(apart, ord=1 if norm == "linf" else 2, dim=2)
    gaps = z.gather(1, y[:, None]) - z
    exact = torch.where(slopes > 0, gaps / slopes, torch.inf).amin(1)
    eps = tuple(float(q) for q in exact.quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)))
    rows = run(target, norms=(norm,), eps=eps)
    found = curve(rows, "worst_case")
    for radius in eps:
        assert found[radius][(exact > radius * 1.001 + 1e-3).numpy()].all()
        assert not found[radius][(exact < radius * 0.99 - 1e-3).numpy()].any()
    (row,) = (r for r in rows if r.metric == "adversarial_distance" and r.at["attack"] == "fmn")
    assert (row.outcomes["distance"] >= exact.numpy() * 0.999 - 1e-3).all()
    assert np.quantile(row.outcomes["distance"] / exact.numpy(), 0.9) < 1.02
    assert "ε counts in scales of each feature; 2 of 6 features cannot change" in row.note


def test_bounds_of_each_feature_hold():
    """With two classes the worst input in the box is known: every feature as far as ε and bounds allow."""
    target = table(2, *NEAR)
    x, y = target.test.x.double(), target.test.y
    w = (target.model.weight[1] - target.model.weight[0]).double()
    w = torch.where(y[:, None] == 0, w, -w)
    room = torch.where(w > 0, target.features.high - x, x - target.features.low) / SCALE
    margin = (target.model(target.test.x).double().gather(1, y[:, None]) * 2).squeeze(1) - target.model(
        target.test.x
    ).double().sum(1)
    eps = (0.2, 0.5, 1.0, 2.0)
    rows = run(target, eps=eps, attacks=("fgsm", "pgd", "square"))
    for radius in eps:
        gain = (w.abs() * room.clamp(max=radius) * MUTABLE).sum(1)
        sure = ((gain - margin).abs() > 1e-3).numpy()
        for name in ("fgsm", "worst_case"):
            assert (curve(rows, name)[radius] == (gain < margin).numpy())[sure].all(), (name, radius)


@pytest.mark.parametrize(
    ("place", "amount", "counts"),
    [(0, 0.9, True), (0, 1.1, False), (4, 1e-7, False), (5, 0.5, False)],
)
def test_a_find_that_does_what_no_attacker_may_does_not_count(place: int, amount: float, counts: bool):
    class Touchy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            moved = (x.double() - clean).abs().sum(1) > 0
            return torch.stack((torch.zeros(len(x)), moved.float() - 0.5), dim=1)

    target = table(2, *FAR, count=1)
    clean = target.test.x.double()
    target = replace(target, model=Touchy(), test=Examples(target.test.x, torch.zeros(1, dtype=torch.int64)))
    step = torch.zeros(6, dtype=torch.float64)
    step[place] = amount if MUTABLE[place] else amount * 1e4
    raw = EvasionAttack(lambda batch, settings: batch.x + step, "each", "")
    settings = evasion.Settings(level="quick", eps=(1.0,), **LIGHT)
    rows = robust_curves(target, settings, {"raw": raw}, torch.Generator().manual_seed(0))
    assert bool(curve(rows, "raw")[1.0].all()) != counts


def test_unchanged_features_reach_the_model_bit_for_bit():
    """A table's integers and categories must not be rounded on the way: x' back to x is exact."""
    luck = torch.Generator().manual_seed(3)
    x = torch.randint(0, 2000, (500, 6), generator=luck).float()
    x[:, 0] = torch.rand(500, generator=luck) * 1e-3
    scale = torch.tensor([1e-4, 0.3, 7.7, 1.0 / 3, 1.0, 1.0], dtype=torch.float64)
    features = Features(scale, torch.tensor(-1e6), torch.tensor(1e6), MUTABLE)
    target = in_units(
        Target(nn.Identity(), 6, (-1e6, 1e6), Examples(x, torch.zeros(500).long()), features=features)
    )
    assert (target.model(target.test.x) == x).all()
    assert in_units(target) is target


def test_art_is_refused_and_says_so():
    rows = run(table(2, *FAR), eps=(0.1,), attacks=("pgd", "art:DeepFool"))
    refused = [row for row in rows if row.at.get("attack") == "art:DeepFool"]
    assert {row.metric for row in refused} == {"robust_accuracy", "adversarial_distance"}
    for row in refused:
        assert row.status == "failed"
        assert "ART's DeepFool is refused: it cannot be held to the scales" in row.note


@pytest.mark.parametrize("kind", ["candidates", "twin"])
def test_the_user_s_own_attack_works_in_the_user_s_own_units(kind: str):
    target = table(2, *FAR)
    w = target.model.weight[1] - target.model.weight[0]
    seen: list[tuple[Tensor, Tensor, Tensor]] = []

    def candidates(x: Tensor, y: Tensor, eps: float, low: Tensor, high: Tensor) -> Tensor:
        seen.append((x, low, high))
        return x + eps * SCALE.float() * torch.where(y[:, None] == 0, w, -w).sign()

    mine: Callable[..., Any] = candidates if kind == "candidates" else (lambda model: model)
    eps = (0.3, 1.0)
    rows = run(replace(target, adaptive=mine), eps=eps, attacks=("pgd",))
    for radius in eps:
        assert (curve(rows, "adaptive")[radius] <= curve(rows, "pgd")[radius]).all()
    for x, low, high in seen:
        assert all(any(torch.equal(one, known) for known in target.test.x) for one in x)
        assert torch.allclose(low.squeeze(0), FAR[0])
        assert torch.allclose(high.squeeze(0), FAR[1])


def test_features_all_alike_change_nothing(target: Target):
    few = replace(target, test=target.test[:40])
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    alike = replace(few, features=Features(one, 0 * one, one, one > 0))
    plain, held = (run(t, level="quick", eps=(0.05, 0.15), norms=("linf", "l2")) for t in (few, alike))
    for a, b in zip(plain, held, strict=True):
        assert a.at == b.at
        if a.metric == "robust_accuracy":
            assert (a.outcomes["correct"] != b.outcomes["correct"]).sum() <= 1
            if "clean" in a.outcomes:
                assert (a.outcomes["clean"] == b.outcomes["clean"]).all()
                assert np.allclose(a.outcomes["adversarial"], b.outcomes["adversarial"], atol=0.2)


def test_batch_size_changes_nothing():
    first, second = (
        run(replace(table(3, *NEAR), batch_size=size), eps=(0.2, 0.8), attacks=("pgd", "apgd_ce", "square"))
        for size in (1000, 7)
    )
    for a, b in zip(first, second, strict=True):
        assert (a.at, a.value) == (b.at, b.value)


def test_inputs_beyond_their_features_bounds_are_an_error():
    target = table(2, *NEAR)
    with pytest.raises(ValueError, match="outside the bounds of their features"):
        run(replace(target, test=Examples(target.test.x * 3, target.test.y)))
