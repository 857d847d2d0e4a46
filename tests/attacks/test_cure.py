"""The cure: it runs whatever the plan holds, says what ran, and each find lies within its own ball."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attacks.evasion import Settings, _art, chosen_attacks, run
from attacks.evasion._attack import AttackFailedError, Batch, EvasionAttack
from attacks.evasion._cure import Cure, Try
from attacks.evasion._search import check
from attacks.evasion._straight_through import StraightThrough
from attacks.evasion._views import Estimated, View
from attacks.probe import Measurement, Target

Unattacked = Callable[[Target, Settings], Batch]

EPS = 26 / 256
SMALL = {"level": "quick", "eps": (EPS,), "apgd_steps": 10, "targets": 2, "queries": 60}


class Rounded(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model((x * 256).round() / 256)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def rows_of(rows: list[Measurement], attack: str) -> list[Measurement]:
    return [row for row in rows if row.metric == "robust_accuracy" and row.at["attack"] == attack]


@pytest.fixture(scope="module")
def few(target: Target) -> Target:
    return replace(target, test=target.test[:50])


@pytest.fixture(scope="module")
def truth(few: Target) -> float:
    (row,) = rows_of(list(run(few, Settings(**SMALL), generator())), "worst_case")
    return float(row.value or 0)


# Whatever the plan holds


@pytest.mark.parametrize("attacks", [("fmn",), ("square",), ("art:DeepFool",)])
def test_the_cure_attacks_although_the_plan_has_nothing_for_it(
    attacks: tuple[str, ...], few: Target, truth: float, monkeypatch: pytest.MonkeyPatch
):
    """Formerly nothing ran, and the figure was 1.0."""

    def fails(*_: object) -> Tensor:
        raise OSError("no such thing")

    monkeypatch.setattr(_art, "_generate", fails)
    masked = replace(few, model=Rounded(few.model).eval())
    found = list(run(masked, Settings(**SMALL, attacks=attacks), generator()))
    (cured,), (worst,) = rows_of(found, "cured"), rows_of(found, "worst_case")
    assert cured.value <= truth + 0.021
    assert worst.value <= cured.value
    assert "pgd broke" in cured.note


def test_the_note_names_what_ran_and_nothing_else(few: Target):
    found = list(run(replace(few, model=Rounded(few.model).eval()), Settings(**SMALL), generator()))
    (cured,) = rows_of(found, "cured")
    for name in ("fgsm", "pgd", "apgd_t", "square"):
        assert f"{name} broke" in cured.note
    assert "rays" not in cured.note
    assert "fmn" not in cured.note


def test_a_cure_of_which_nothing_runs_is_no_figure(few: Target, unattacked: Unattacked):
    def fails(*_: object) -> Tensor:
        raise OSError("no such thing")

    settings = Settings(**SMALL)
    cure = Cure([Try("it", EvasionAttack(fails, search="smallest", paper=""), settings)])
    with pytest.raises(AttackFailedError, match="it failed: OSError: no such thing"):
        cure(unattacked(few, settings), settings)


def test_a_cured_figure_is_never_above_the_uncured(few: Target):
    """It starts from what the plan's own attacks left standing."""
    masked = replace(few, model=Rounded(few.model).eval())
    found = list(run(masked, Settings(**SMALL, attacks=("fgsm", "square")), generator()))
    (cured,) = rows_of(found, "cured")
    for attack in ("fgsm", "square"):
        (row,) = rows_of(found, attack)
        assert not (cured.outcomes["correct"] & ~row.outcomes["correct"]).any()


# Its limit


def uncured(rows: list[Measurement]) -> Measurement:
    (row,) = [row for row in rows if row.at.get("flag") == "uncured"]
    return row


@pytest.mark.parametrize(("passes", "reached"), [(10, ()), (150, ("fgsm", "pgd")), (300_000, ("square",))])
def test_what_the_limit_of_passes_keeps_from_being_attacked_is_in_doubt(
    passes: int, reached: tuple[str, ...], few: Target
):
    """Two PGDs of forty steps are within 150 passes, the hundreds of APGD-T and Square's are not."""
    masked = replace(few, model=Rounded(few.model).eval())
    config = Settings(**{**SMALL, "apgd_steps": 100, "queries": 600}, cure_passes=passes)
    found = list(run(masked, config, generator()))
    ((cured,), (plain,)), doubt = (rows_of(found, name) for name in ("cured", "pgd")), uncured(found)
    assert cured.value <= plain.value
    for name in reached:
        assert f"{name} broke" in cured.note
    if passes == 300_000:
        assert "limit" not in cured.note
        assert doubt.value <= doubt.at["limit"]
        return
    assert "square broke" not in cured.note
    assert f"examples reached the limit of {passes} passes (cure_passes)" in cured.note
    assert (
        doubt.value == pytest.approx(cured.value / plain.outcomes["correct"].mean(), abs=0.05) or passes > 10
    )
    assert doubt.value > doubt.at["limit"]
    assert "standing where the cure reached its limit of passes" in doubt.note


def test_the_limit_is_each_examples_own_whatever_the_batch(few: Target):
    masked = replace(few, model=Rounded(few.model).eval())
    config = Settings(**{**SMALL, "eps": (0.05, EPS)}, cure_passes=200)
    rows = [
        [(r.metric, r.value, r.note) for r in run(replace(masked, batch_size=size), config, generator())]
        for size in (7, 50)
    ]
    assert rows[0] == rows[1]


# The dense model of the same run


class Numb(nn.Module):
    """The decisions alone, from another thread, where no view looks: no gradient, no scores."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        copy = x.detach().numpy().copy()
        with ThreadPoolExecutor(1) as pool:
            label = pool.submit(lambda: self.model(torch.from_numpy(copy)).argmax(1).numpy()).result()
        return torch.from_numpy(np.eye(10, dtype=np.float32)[label])


def test_what_fools_the_dense_model_is_tried_where_scores_are_flat(few: Target, truth: float):
    """With the network behind the mask as the twin, nearly all that can be found is; without, RayS finds a
    part of it."""
    masked = replace(few, model=Numb(few.model).eval())
    alone, helped = (
        list(run(replace(masked, twin=twin), Settings(**SMALL), generator()))
        for twin in (None, lambda: few.model)
    )
    ((before,), (after,)) = (rows_of(rows, "cured") for rows in (alone, helped))
    assert "dense broke" in after.note
    assert "dense broke" not in before.note
    assert after.value <= truth + 0.041 < before.value
    assert uncured(helped).value > 0.01  # it is no proof: the twin may know less than the model


def test_the_dense_model_is_left_alone_where_gradients_tell(few: Target):
    masked = replace(few, model=Rounded(few.model).eval(), twin=lambda: pytest.fail("asked for"))
    (cured,) = rows_of(list(run(masked, Settings(**SMALL), generator())), "cured")
    assert cured.value < 1


# ART


def test_arts_attack_keeps_to_each_examples_own_radius(few: Target, unattacked: Unattacked):
    """Formerly the first example's radius held for all."""
    settings = Settings(level="quick", eps=(0.3,), attacks=("art:FastGradientMethod",))
    clean = unattacked(few, settings)
    (attack,) = chosen_attacks(settings).values()
    small, large = 0.05, 0.3
    eps = torch.where(torch.arange(len(clean)) % 2 == 0, small, large)
    batch = replace(clean, eps=eps)
    moved = attack.run(batch, settings)
    distance = batch.ball.distance(moved, batch.x)
    assert np.allclose(distance[eps == small], small, atol=1e-5)
    assert np.allclose(distance[eps == large], large, atol=1e-5)
    every = torch.arange(len(batch))[eps == large]
    alone = attack.run(batch.at(every, eps[every]), settings)
    assert torch.equal(moved[every], alone)
    assert check(batch, moved).broken[eps == large].any()


# Views


def test_estimated_gradients_are_the_gradients(trained: nn.Module, few: Target):
    """Against autograd, of the weighted logits: every value's difference, up to the curvature between."""
    x, weights = few.test.x[:5].double(), torch.randn(5, 10, dtype=torch.float64, generator=generator())
    model = trained.double()
    try:
        found = []
        for view in (model, Estimated(model, 1e-6)):
            leaf = x.clone().requires_grad_()
            found.append(torch.autograd.grad((view(leaf) * weights).sum(), leaf)[0])
    finally:
        trained.float()
    near = torch.isclose(found[0], found[1], rtol=1e-4, atol=1e-6)
    assert near.double().mean() > 0.98  # all but at kinks


def test_random_directions_estimate_without_bias():
    """Of a linear function in more values than directions: the mean over many inputs is the gradient."""
    weight = torch.randn(100, 2, generator=generator())
    x = torch.rand(600, 100, generator=generator(), requires_grad=True)
    outputs = Estimated(lambda z: z @ weight, 0.01)(x)  # type: ignore[arg-type]
    (gradient,) = torch.autograd.grad(outputs[:, 0].sum(), x)
    assert torch.allclose(gradient.mean(0), weight[:, 0], atol=0.3)
    assert np.corrcoef(gradient.mean(0), weight[:, 0])[0, 1] > 0.98


@pytest.mark.parametrize(
    "after",
    [lambda z: z.softmax(1), lambda z: z.argsort(1).argsort(1).float(), lambda z: z.log_softmax(1).clamp(-1)],
)
def test_the_tensor_that_decides_is_found_inside(
    after: Callable[[Tensor], Tensor], few: Target, unattacked: Unattacked
):
    from attacks.evasion._views import view_of

    class Behind(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return after(few.model(x))

    batch = unattacked(replace(few, model=Behind()), Settings(**SMALL, attacks=("fgsm",)))
    view = view_of(batch, Behind(), torch.float32, 1)
    ratio = view(batch.x) / few.model(batch.x)
    assert torch.allclose(ratio, ratio[0, 0].expand_as(ratio), rtol=1e-3)


def test_floor_division_and_disguised_inputs_have_gradients():
    x = torch.linspace(0.05, 1.95, 9, requires_grad=True)
    with StraightThrough(x):
        floored = x // 0.5
        tied = torch.from_numpy((x.detach().numpy() * 1.01).copy()) * 1
    assert torch.equal(floored.detach(), x.detach() // 0.5)
    assert torch.autograd.grad(floored.sum(), x)[0].eq(2).all()
    assert torch.allclose(tied, x.detach() * 1.01)
    assert torch.autograd.grad(tied.sum(), x)[0].eq(1).all()


def test_a_view_of_a_plain_model_is_that_model(few: Target):
    assert torch.allclose(View(few.model, 10, torch.float32)(few.test.x), few.model(few.test.x))
