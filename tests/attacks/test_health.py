"""Health: planted maskers are flagged and cured, healthy models raise nothing, bad models are visible."""

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks._techniques import techniques
from attacks.evasion import Settings, run
from attacks.evasion._attack import EvasionAttack
from attacks.evasion._settings import PACKAGE
from attacks.evasion._straight_through import StraightThrough
from attacks.evasion.health import CHECKS, METRIC
from attacks.probe import Examples, Measurement, Target

EPS = (13 / 256, 26 / 256)
"""Multiples of the quantiser's step, so that its rounding changes no perturbation of full length."""
QUICK = {"level": "quick", "eps": EPS, "apgd_steps": 10, "targets": 2, "queries": 100}
BRIEF = {**QUICK, "steps": 3, "apgd_steps": 2, "targets": 1}
"""Where the flags matter and not the cure."""
NORMS = pytest.mark.parametrize("norm", ["linf", "l2"])


class Masked(nn.Module):
    """A model behind a change to its inputs and one to its outputs."""

    def __init__(
        self,
        model: nn.Module,
        before: Callable[[Tensor], Tensor] = lambda x: x,
        after: Callable[[Tensor], Tensor] = lambda z: z,
    ) -> None:
        super().__init__()
        self.model, self.before, self.after = model, before, after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.model(self.before(x)))


def resized(x: Tensor) -> Tensor:
    """At random to 8 … 10 pixels a side, somewhere in a frame of 10, and back to 8."""
    size = int(torch.randint(8, 11, ()))
    left = int(torch.randint(0, 11 - size, ()))
    room = 10 - size - left
    framed = F.pad(F.interpolate(x, size=(size, size), mode="nearest"), (left, room, left, room))
    return F.interpolate(framed, size=(8, 8), mode="bilinear", align_corners=False)


def without_grad(x: Tensor) -> Tensor:
    with torch.no_grad():
        return x * 1


BEFORE = {
    "quantised": lambda x: (x * 256).round() / 256,
    "cast": lambda x: (x * 256 + 0.5).to(torch.int64).float() / 256,
    "detached": lambda x: x.detach(),
    "data": lambda x: x.data,
    "no_grad": without_grad,
}
AFTER = {
    "large_logits": lambda z: z * 1e4,
    "softmax": lambda z: z.softmax(dim=1),
    "saturated": lambda z: (z * 100).softmax(dim=1),
}
SIGNS = {key: {"zero_gradients", "unbounded_survivors", "black_box_stronger"} for key in BEFORE} | {
    "large_logits": {"saturated_softmax"},
    "softmax": {"softmax_outputs"},
    "saturated": {"softmax_outputs", "zero_gradients"},
}
"""Which flags each masker must raise, at least."""


def masked(model: nn.Module, name: str) -> nn.Module:
    keep = BEFORE.get(name, lambda x: x), AFTER.get(name, lambda z: z)
    return Masked(model, *keep).eval()


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def raised(rows: list[Measurement]) -> set[str]:
    return {str(r.at["flag"]) for r in rows if r.metric == METRIC and r.value and r.value > r.at["limit"]}


def curve(rows: list[Measurement], attack: str) -> list[float]:
    return [r.value for r in rows if r.metric == "robust_accuracy" and r.at["attack"] == attack]


# Positive controls


@pytest.fixture(scope="module")
def target(target: Target) -> Target:
    """Of a hundred examples, so that one is a point."""
    return replace(target, test=target.test[:100])


@pytest.fixture(scope="module")
def unmasked(target: Target) -> list[Measurement]:
    return list(run(target, Settings(**QUICK), generator()))


def test_what_square_finds_on_the_sample_counts_beside_a_weak_square_of_the_plan(target: Target):
    """Formerly the flag was that of the plan's curves alone, and the finds of the checks were lost."""
    blind = replace(target, model=masked(target.model, "detached"))
    settings = Settings(**{**BRIEF, "attacks": ("fgsm", "square"), "queries": 1, "cure_passes": 1})
    rows = list(run(blind, settings, generator()))
    (flag,) = [row for row in rows if row.at.get("flag") == "black_box_stronger"]
    assert flag.value > 0.1
    assert "black_box_stronger" in raised(rows)


HIDDEN = ("quantised", "cast", "detached", "data", "no_grad", "saturated")
"""Maskers that gradients alone do not see through."""


@pytest.mark.parametrize("name", [*BEFORE, *AFTER])
def test_a_planted_masker_is_flagged_and_cured(name: str, target: Target, unmasked: list[Measurement]):
    """The cured figure is that of the same model without the mask, within a point, or below it."""
    rows = list(run(replace(target, model=masked(target.model, name)), Settings(**QUICK), generator()))
    assert raised(rows) >= SIGNS[name]
    for cured, worst, truth in zip(
        curve(rows, "cured"), curve(rows, "worst_case"), curve(unmasked, "worst_case"), strict=True
    ):
        assert truth - 0.02 <= cured <= truth + 0.01
        assert worst <= cured
    if name in HIDDEN:  # else a cure that does nothing would pass
        assert curve(rows, "pgd")[-1] > curve(unmasked, "pgd")[-1] + 0.2


def test_random_resizing_is_flagged_and_attacked_on_average(target: Target):
    """There is no figure without the mask to compare with: the resized model is another model."""
    torch.manual_seed(0)
    model = Masked(target.model, before=resized).eval()
    few = replace(target, model=model, test=target.test[:60])
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        rows = list(run(few, Settings(**QUICK, steps=5), generator()))
    assert "randomised" in raised(rows)
    (note, *_) = [r.note for r in rows if r.at.get("attack") == "cured"]
    assert "averaged over 16 passes" in note


def test_a_trip_through_numpy_is_flagged_and_cured(target: Target):
    """What comes back is the input in disguise, and is tied to it again."""

    def through_numpy(x: Tensor) -> Tensor:
        return torch.from_numpy(np.array(x.detach().numpy()))

    few = replace(target, test=target.test[:40])
    truth = list(run(few, Settings(**QUICK), generator()))
    hidden = replace(few, model=Masked(target.model, before=through_numpy).eval())
    rows = list(run(hidden, Settings(**QUICK), generator()))
    assert raised(rows) >= {"zero_gradients", "black_box_stronger"}
    assert curve(rows, "pgd")[-1] > curve(rows, "cured")[-1] + 0.2
    assert curve(rows, "cured")[-1] <= curve(truth, "worst_case")[-1] + 0.01


def test_an_attack_that_stops_too_early_is_flagged(target: Target):
    config = Settings(level="quick", norms=("l2",), eps=(0.9,), attacks=("pgd",), steps=1)
    rows = list(run(target, config, generator()))
    assert raised(rows) >= {"longer_stronger", "walk_stronger"}
    assert curve(rows, "cured")[0] < curve(rows, "pgd")[0] - 0.1


def test_a_walk_that_stops_too_early_is_flagged(target: Target, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("attacks.evasion.health._evidence.STEPS", 1)
    config = Settings(level="quick", norms=("l2",), eps=(0.9,), attacks=("pgd",), steps=1)
    assert "loss_still_falling" in raised(list(run(target, config, generator())))


@pytest.mark.parametrize("weak", [{"attacks": ("fgsm",)}, {"attacks": ("apgd_ce",), "apgd_steps": 2}])
def test_a_plan_of_weak_attacks_is_flagged(weak: dict[str, object], target: Target):
    """Its figure is above what plain steps find: health watches the plan's attacks, not its own alone."""
    rows = list(run(target, Settings(**{**QUICK, "eps": (0.05, 0.1), **weak}), generator()))
    assert "walk_stronger" in raised(rows)
    (name,) = weak["attacks"]
    pgd = run(target, Settings(**{**QUICK, "eps": (0.05, 0.1)}), generator())
    assert curve(rows, name)[-1] > curve(list(pgd), "pgd")[-1] + 0.03


def test_every_attack_is_lengthened_by_its_own_steps():
    config = Settings()
    for attack in techniques(PACKAGE, EvasionAttack).values():
        longer = attack.longer(config, 2)
        changed = {key for key, value in config if getattr(longer, key) != value}
        assert changed == ({attack.steps} if attack.steps else set())
    assert {name for name, a in techniques(PACKAGE, EvasionAttack).items() if not a.steps} == {"fgsm"}


@pytest.mark.parametrize("batch_size", [16, 1000])
def test_statistics_of_the_batch_are_flagged_however_many_fit_one(batch_size: int, target: Target):
    model = Masked(target.model, before=lambda x: x - 0.3 * (x.mean(dim=0, keepdim=True) - 0.3)).eval()
    few = replace(target, model=model, test=target.test[:60], batch_size=batch_size)
    rows = list(run(few, Settings(**QUICK, steps=3), generator()))
    assert "batch_dependent" in raised(rows)
    assert "randomised" not in raised(rows)


def test_half_precision_rounds_and_hangs_on_no_neighbour(target: Target):
    model = Masked(copy.deepcopy(target.model).bfloat16(), lambda x: x.bfloat16(), lambda z: z.float()).eval()
    right = model(target.test.x).argmax(1) == target.test.y
    few = replace(target, model=model, test=target.test[right][:64], batch_size=7)
    rows = list(run(few, Settings(**QUICK, steps=3), generator()))
    assert not raised(rows) & {"batch_dependent", "randomised"}


def test_gradients_lost_in_float32_are_flagged(target: Target):
    """A softmax that is saturated in float32 and not in float64."""
    model = Masked(target.model, after=lambda z: (z * 20).softmax(dim=1)).eval()
    rows = list(run(replace(target, model=model), Settings(**QUICK), generator()))
    assert "float32_gradients" in raised(rows)


def test_a_made_up_gradient_is_flagged(target: Target):
    class Liar(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: object, gradient: Tensor) -> Tensor:
            return -gradient

    model = Masked(target.model, before=Liar.apply).eval()
    few = replace(target, model=model, test=target.test[:25])  # its estimates take 128 passes a step
    rows = list(run(few, Settings(**BRIEF), generator()))
    assert raised(rows) >= {"noisy_loss", "wrong_gradients", "unbounded_survivors", "black_box_stronger"}


# Null controls


@pytest.mark.parametrize("seed", range(3))
@NORMS
def test_healthy_models_raise_nothing(
    norm: str,
    seed: int,
    digits: Examples,
    fresh: Callable[[int], nn.Module],
    train: Callable[..., nn.Module],
    make_target: Callable[..., Target],
):
    model = train(fresh(seed), digits[:600], epochs=6)
    eps = (0.05, 0.1, 0.2) if norm == "linf" else (0.3, 0.6, 1.2)
    rows = list(run(make_target(model), Settings(level="quick", norms=(norm,), eps=eps), generator()))
    assert raised(rows) == set()
    assert not curve(rows, "cured")
    made = {r.at["flag"] for r in rows if r.metric == METRIC}
    assert made - {"inferred_wrongly"} == {check.__name__ for check in CHECKS}


def test_a_constant_model_is_no_masked_model(target: Target):
    """It cannot be fooled, since nothing changes it: that is the truth, and accuracy shows its worth."""

    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.eye(10)[3].expand(len(x), 10) + 0 * x.flatten(1).sum(dim=1, keepdim=True)

    rows = list(run(replace(target, model=Constant()), Settings(**QUICK), generator()))
    assert raised(rows) == set()
    assert {r.status for r in rows if r.metric == METRIC} == {"not_applicable"}


def collapsed(model: nn.Module, share: float) -> nn.Module:
    """Class 3 far ahead of all, though the logits still move a little with the input."""
    return Masked(model, after=lambda z: share * z + 10 * torch.eye(10)[3]).eval()


@NORMS
def test_a_collapsed_model_is_no_masked_model(norm: str, target: Target):
    model = collapsed(target.model, 0.01)
    assert not (model(target.test.x) == model(target.test.x[:1])).all()
    rows = list(run(replace(target, model=model), Settings(**QUICK, norms=(norm,)), generator()))
    assert raised(rows) == set()
    assert {r.status for r in rows if r.metric == METRIC} == {"not_applicable"}


def test_one_class_in_the_test_set_exempts_no_masked_model(target: Target):
    """The model is right and says 3 to all test inputs, but not to random ones: it is no collapsed model."""
    threes = target.test[(target.test.y == 3) & (target.model(target.test.x).argmax(1) == 3)]
    assert len(threes) > 5
    for name in ("detached", "quantised"):
        rows = list(
            run(
                replace(target, model=masked(target.model, name), test=threes), Settings(**QUICK), generator()
            )
        )
        assert "zero_gradients" in raised(rows)


def test_a_masked_model_that_some_inputs_lead_elsewhere_is_not_exempt(target: Target):
    """Nearly collapsed: every test input is a 3, some random inputs are not, and no gradient leads there."""
    model = collapsed(masked(target.model, "detached"), 0.6)
    said = replace(target, model=model, test=target.test[model(target.test.x).argmax(1) == 3])
    rows = list(run(said, Settings(**QUICK, steps=2), generator()))
    assert "zero_gradients" in raised(rows)


def test_a_check_that_crashes_is_a_failed_row(target: Target, monkeypatch: pytest.MonkeyPatch):
    def crash(evidence: object) -> None:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr("attacks.evasion.health.CHECKS", (crash, *CHECKS[1:]))
    few = replace(target, test=target.test[:20])
    rows = [r for r in run(few, Settings(**QUICK, steps=2), generator()) if r.metric == METRIC]
    (row,) = [r for r in rows if r.status == "failed"]
    assert row.at["flag"] == "crash"
    assert "RuntimeError: no such kernel" in row.note
    assert {r.at["flag"] for r in rows} >= {check.__name__ for check in CHECKS[1:]}


def test_a_model_that_is_always_wrong_has_no_health(target: Target):
    wrong = Examples(target.test.x, (target.model(target.test.x).argmax(1) + 1) % 10)
    rows = list(run(replace(target, test=wrong), Settings(**QUICK), generator()))
    assert {r.status for r in rows if r.metric == METRIC} == {"not_applicable"}
    assert curve(rows, "worst_case") == [0.0, 0.0]


# Laws


def test_a_vanishing_ball_leaves_clean_accuracy(target: Target):
    rows = list(run(target, Settings(level="quick", eps=(1e-9,)), generator()))
    clean = float((target.model(target.test.x).argmax(1) == target.test.y).float().mean())
    assert curve(rows, "worst_case") == [pytest.approx(clean)]


@pytest.mark.parametrize("name", ["quantised", "softmax"])
def test_a_cure_is_the_same_whatever_the_batch(name: str, target: Target):
    few = replace(target, model=masked(target.model, name), test=target.test[:50])
    config = Settings(**QUICK, steps=5)
    first, second = (run(replace(few, batch_size=size), config, generator()) for size in (16, 128))
    assert [replace(r, outcomes=None) for r in first] == [replace(r, outcomes=None) for r in second]


# Bad models


def test_nan_gradients_are_flagged_and_no_crash(target: Target):
    """sqrt has an infinite slope at zero, and zero times infinity is no number."""
    model = Masked(target.model, before=lambda x: x + 0 * (x * 0).sqrt()).eval()
    assert torch.isfinite(model(target.test.x)).all()
    rows = list(run(replace(target, model=model, test=target.test[:25]), Settings(**BRIEF), generator()))
    assert "zero_gradients" in raised(rows)


def test_straight_through_leaves_values_and_grad_mode_alone():
    x = torch.linspace(-2, 2, 9, requires_grad=True)
    with StraightThrough():
        y = (x * 3).round() + x.detach() + without_grad(x)
        z = (x * 3).to(torch.int64)
    assert torch.equal(y.detach(), (x.detach() * 3).round() + 2 * x.detach())
    assert torch.equal(z.detach(), (x.detach() * 3).trunc())
    assert torch.autograd.grad(y.sum(), x)[0].eq(5).all()
    assert torch.is_grad_enabled()
    assert (x * 3).round().sum().backward() is None
    assert x.grad.eq(0).all()  # and off, all is as it was
