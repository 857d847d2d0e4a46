"""Models at the edges of what autograd can follow: every attack has its rows, whatever befalls the others."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks import evasion
from attacks._techniques import techniques
from attacks.evasion._attack import EvasionAttack
from attacks.evasion._losses import climb, dlr_targeted
from attacks.evasion._settings import LEVELS, PACKAGE, attacks_of
from attacks.probe import Examples, Measurement, Target

NORMS = pytest.mark.parametrize("norm", ["linf", "l2"])
EPS = {"linf": (0.1, 0.3), "l2": (0.5, 1.5)}
FAST = {"steps": 3, "apgd_steps": 4, "fmn_steps": 4, "queries": 20, "targets": 2}


@pytest.fixture(autouse=True)
def _few_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here it matters that everything runs, not how well."""
    monkeypatch.setattr("attacks.evasion._cure.QUERIES", 20, raising=False)
    monkeypatch.setattr("attacks.evasion.health.rivals.QUERIES", 10)


class Odd(nn.Module):
    """A small linear model behind a change to its inputs and one to its outputs."""

    def __init__(self, before: Callable[[Tensor], Tensor], after: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        weight = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.before, self.after = before, after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(F.linear(self.before(x).flatten(1), self.weight))


class NanSlope(torch.autograd.Function):
    """Passes values on, and a gradient whose first entry is no number."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        gradient[..., 0] = torch.nan
        return gradient


BEFORE = {
    "some NaN in the gradient": NanSlope.apply,
    "nothing but NaN": lambda x: x + 0 * (x * 0).sqrt(),
    "an infinite slope": lambda x: x + 1e-9 * (x - x.detach()).clamp(min=0).sqrt(),
    "floor division": lambda x: (x * 256) // 1 / 256,
}
AFTER = {
    "NumPy": lambda z: torch.from_numpy(z.numpy()),
    "one hot": lambda z: F.one_hot(z.argmax(dim=1), 5).float(),
    "ranks": lambda z: z.argsort(dim=1).argsort(dim=1).float(),
    "ties": lambda z: (
        torch.where(z >= z.sort(dim=1).values[:, 1:2], z.amax(dim=1, keepdim=True), z) + 1e-9 * z
    ),
}


def target(
    before: Callable[[Tensor], Tensor] = lambda x: x, after: Callable[[Tensor], Tensor] = lambda z: z
) -> Target:
    model = Odd(before, after).eval()
    x = torch.rand(12, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    return Target(model, 5, (0.0, 1.0), Examples(x, model(x).argmax(1)), batch_size=5)


def rows(given: Target, **wanted: object) -> list[Measurement]:
    return list(evasion.run(given, evasion.Settings(**{**FAST, **wanted}), torch.Generator().manual_seed(0)))


def robust(found: list[Measurement]) -> dict[str, set[str]]:
    """Statuses by attack."""
    said: dict[str, set[str]] = {}
    for row in found:
        if row.metric == "robust_accuracy" and row.at["norm"] != "union":
            said.setdefault(str(row.at["attack"]), set()).add(row.status)
    return said


def raised(found: list[Measurement]) -> set[str]:
    return {str(r.at["flag"]) for r in found if "flag" in r.at and r.value and r.value > r.at["limit"]}


def crash(*given: object) -> Tensor:
    raise IndexError("out of range")


# The probe is never lost


@pytest.mark.parametrize("level", LEVELS)
@NORMS
@pytest.mark.parametrize("name", [*BEFORE, *AFTER])
def test_odd_models_have_rows_for_every_attack(name: str, norm: str, level: str):
    same = lambda values: values  # noqa: E731
    given = target(BEFORE.get(name, same), AFTER.get(name, same))
    found = rows(given, level=level, norms=(norm,), eps=EPS[norm], apgd_steps=4, queries=20, restarts=1)
    said = robust(found)
    assert said.pop("transfer", {"not_applicable"}) == {"not_applicable"}
    assert set(said) >= {*attacks_of(level), "worst_case"}
    assert set().union(*said.values()) == {"ok"}


@pytest.mark.parametrize("name", ["nothing but NaN", "floor division", "NumPy", "one hot", "ranks"])
def test_what_autograd_cannot_follow_is_flagged(name: str):
    same = lambda values: values  # noqa: E731
    found = rows(target(BEFORE.get(name, same), AFTER.get(name, same)), level="quick", eps=EPS["linf"])
    assert "zero_gradients" in raised(found)


@pytest.mark.parametrize("level", LEVELS)
@NORMS
def test_no_example_right_is_measured(norm: str, level: str):
    given = target()
    wrong = replace(given, test=Examples(given.test.x, (given.test.y + 1) % 5))
    found = rows(wrong, level=level, norms=(norm,), eps=EPS[norm])
    assert {r.value for r in found if r.metric == "robust_accuracy" and r.status == "ok"} == {0.0}
    assert "failed" not in {r.status for r in found}


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("level", LEVELS)
def test_few_examples_are_measured_and_their_median_refused(level: str, count: int):
    given = target()
    found = rows(replace(given, test=given.test[:count]), level=level, eps=EPS["linf"])
    assert robust(found)["worst_case"] == {"ok"}
    distances = [r for r in found if r.metric == "adversarial_distance"]
    assert {r.status for r in distances} <= {"refused"}
    assert all("at least 6 values" in r.note for r in distances)


@pytest.mark.parametrize("name", sorted(techniques(PACKAGE, EvasionAttack)))
def test_an_attack_that_crashes_is_its_own_failed_row(name: str, monkeypatch: pytest.MonkeyPatch):
    known = techniques(PACKAGE, EvasionAttack)
    monkeypatch.setattr(
        evasion, "techniques", lambda package, kind: {**known, name: replace(known[name], run=crash)}
    )
    found = rows(target(), level="thorough", eps=(0.05,), apgd_steps=4, queries=20, restarts=1)
    said = robust(found)
    assert said.pop(name) == {"failed"}
    assert said.pop("transfer") == {"not_applicable"}
    assert set().union(*said.values()) == {"ok"}
    notes = {r.note for r in found if r.status == "failed"}
    assert notes == {"IndexError: out of range"}
    assert "attack_failed" in raised(found)


@pytest.mark.parametrize("part", ["_transfer.replayed", "_cure.cured"])
def test_what_comes_after_the_attacks_may_crash_too(part: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(f"attacks.evasion.{part}", crash)
    masked = target(lambda x: x.round(decimals=2))  # so that there is a cure
    given = replace(masked, others=lambda _: {"dense": [{}]})
    found = rows(given, level="quick", eps=(0.05,), transfer=True)
    name = "transfer" if "transfer" in part else "cured"
    assert robust(found)[name] == {"failed"}
    assert robust(found)["worst_case"] == {"ok"}


def failures(found: list[Measurement]) -> dict[tuple[str, str], str]:
    """The notes of what failed, by metric and attack or flag."""
    return {
        (r.metric, str(r.at.get("attack", r.at.get("flag", "")))): r.note
        for r in found
        if r.status == "failed"
    }


def test_corruptions_may_crash(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(evasion._corruptions.CORRUPTIONS, "jpeg", crash)
    found = rows(target(), level="quick", eps=(0.05,), corruptions=True)
    assert failures(found) == {("corruption_accuracy", ""): "IndexError: out of range"}
    assert robust(found)["worst_case"] == {"ok"}


def test_a_trial_of_the_inference_may_crash_and_leaves_a_doubt(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("attacks.evasion._inference.tried", crash)
    found = rows(target(), level="quick", eps=(0.001, 0.002))
    (note,) = (note for (_, what), note in failures(found).items() if what == "inferred_wrongly")
    assert note.endswith("could not be tried: IndexError: out of range")
    assert robust(found)["worst_case"] == {"ok"}


def test_pictures_may_crash(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("attacks.evasion.sweep.broken_examples", crash)
    found = rows(target(), level="quick", eps=(0.05,))
    assert failures(found) == {("robust_accuracy", "examples"): "IndexError: out of range"}
    assert robust(found)["worst_case"] == {"ok"}


def test_a_distance_that_could_not_be_measured_is_a_failed_row(monkeypatch: pytest.MonkeyPatch):
    known = techniques(PACKAGE, EvasionAttack)
    broken = {**known, "fmn": replace(known["fmn"], run=crash)}
    monkeypatch.setattr(evasion, "techniques", lambda package, kind: broken)
    found = rows(target(), level="standard", eps=(0.05,))
    for attack in ("fmn", "worst_case"):
        assert failures(found)["adversarial_distance", attack] == "IndexError: out of range"
    assert failures(found)["robust_accuracy", "fmn"] == "IndexError: out of range"
    assert robust(found)["worst_case"] == {"ok"}


def test_a_model_of_one_class_may_refuse_random_inputs():
    """It is asked whether it says the same to noise; an error of its own is no answer."""

    class Picky(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if len(x) > 100:  # random inputs come by hundreds, the dozen of the test do not
                raise ValueError("not such inputs")
            return torch.eye(5)[3].expand(len(x), 5) + 0 * x.flatten(1).sum(1, keepdim=True)

    given = target()
    test = Examples(given.test.x, torch.full((12,), 3))
    found = rows(replace(given, model=Picky(), test=test), level="quick", eps=(0.05,))
    assert robust(found)["worst_case"] == {"ok"}
    assert "unbounded_survivors" in raised(found)


# Laws


def test_ties_divide_by_what_the_reference_divides_by():
    """AutoAttack's own loss: −(z_y − z_t) / (z_(1) − (z_(3) + z_(4)) / 2 + 1e-12)."""
    for logits in (
        torch.zeros(1, 5),
        torch.tensor([[1.0, 1.0, 1.0, 1.0, 0.0]]),
        torch.tensor([[1.0, 3, 3, 3, 3]]),
    ):
        for y, t in ((0, 1), (1, 4), (4, 0)):
            order = logits.sort(dim=1).values
            theirs = -(logits[:, y] - logits[:, t]) / (
                order[:, -1] - (order[:, -3] + order[:, -4]) / 2 + 1e-12
            )
            for kind in (torch.float32, torch.float64):
                loss, weights = dlr_targeted(logits.to(kind), torch.tensor([[y, t]]))
                assert loss.float() == pytest.approx(float(theirs))
                assert weights.isfinite().all()


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_ties_in_half_precision_have_finite_weights(kind: torch.dtype):
    _, weights = dlr_targeted(torch.tensor([[2.0, 2, 2, 2, 1]], dtype=kind), torch.tensor([[0, 4]]))
    assert weights.isfinite().all()


def test_a_model_that_is_in_error_says_so_itself():
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise ValueError("of its own")

    with pytest.raises(ValueError, match="of its own"):
        climb(Broken(), torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64))
