"""Square, RayS, transfer, ART's attacks, corruptions, the union of norms and the levels."""

import random
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from art.attacks.evasion import SquareAttack
from art.estimators.classification import PyTorchClassifier
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from attacks import evasion
from attacks._techniques import techniques
from attacks.evasion import _art, _corruptions, perturbations
from attacks.evasion._attack import Batch, EvasionAttack
from attacks.evasion._settings import LEVELS, PACKAGE, attacks_of
from attacks.evasion.rays import rays
from attacks.evasion.square import square
from attacks.evasion.sweep import robust_curves, sweep
from attacks.probe import Examples, Measurement, Target, merged

Unattacked = Callable[[Target, evasion.Settings], Batch]

NORMS = pytest.mark.parametrize("norm", ["linf", "l2"])
EPS = {"linf": (0.05, 0.1, 0.15), "l2": (0.3, 0.6, 0.9)}
KNOWN = techniques(PACKAGE, EvasionAttack)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def config(**given_: object) -> evasion.Settings:
    return evasion.Settings(**{"level": "quick", "alone": True, **given_})  # type: ignore[arg-type]


def curves(target: Target, wanted: evasion.Settings) -> dict[str, np.ndarray]:
    """Robust accuracy by attack, rising ε."""
    found: dict[str, list[float]] = {}
    for row in robust_curves(target, wanted, evasion.chosen_attacks(wanted), generator()):
        if row.metric == "robust_accuracy":
            found.setdefault(str(row.at["attack"]), []).append(row.value)
    return {name: np.array(values) for name, values in found.items()}


def linear(classes: int, features: int, seed: int, count: int = 40) -> tuple[Target, Tensor, Tensor]:
    """A linear classifier of its own predictions, and the exact L∞ and L2 distances of the examples."""
    luck = torch.Generator().manual_seed(seed)
    weight = torch.randn(classes, features, generator=luck)

    class Linear(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x.flatten(1), weight)

    x = torch.randn(count, features, generator=luck)
    logits = x @ weight.T
    y = logits.argmax(1)
    gap = (logits.gather(1, y[:, None]) - logits).double()
    apart = (weight[y][:, None] - weight).double()
    exact = [
        torch.where(size > 0, gap / size, torch.inf).amin(1)
        for size in (apart.abs().sum(2), apart.square().sum(2).sqrt())
    ]
    return Target(Linear(), classes, (-1000.0, 1000.0), Examples(x, y)), exact[0], exact[1]


# Against closed forms and other libraries


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 5), st.integers(2, 12), st.integers(0, 10_000), st.sampled_from(["linf", "l2"]))
def test_no_linear_example_is_broken_nearer_than_its_distance(
    classes: int, features: int, seed: int, norm: str
):
    target, *exact = linear(classes, features, seed)
    distance = exact[norm == "l2"]
    eps = tuple(float(q) for q in np.unique(np.quantile(distance.numpy(), [0.3, 0.7])))
    wanted = config(norms=(norm,), eps=eps, attacks=("square", "rays"), queries=60)
    for found in sweep(target, wanted, evasion.chosen_attacks(wanted), generator()):
        for rung, radius in enumerate(sorted(eps)):
            for curve in found.curves.values():
                assert not curve.broken[rung][distance > radius * 1.001].any()


def test_rays_is_exact_where_one_ray_is_best():
    """Two classes, L∞: the best direction is the signs of the weights' difference, which RayS can reach."""
    target, exact, _ = linear(2, 16, 3)
    wanted = config(eps=(1.0,), attacks=("rays",), queries=600)
    (row,) = [
        r
        for r in robust_curves(target, wanted, evasion.chosen_attacks(wanted), generator())
        if r.metric == "adversarial_distance" and r.at["attack"] == "rays"
    ]
    ratio = row.outcomes["distance"] / exact.numpy()
    assert (ratio >= 0.999).all()
    assert np.median(ratio) < 1.05


@NORMS
def test_black_boxes_bite_and_do_not_beat_gradients(norm: str, target: Target):
    few = replace(target, test=target.test[:40])
    found = curves(few, config(norms=(norm,), eps=EPS[norm], attacks=("pgd", "square", "rays"), queries=300))
    for name in ("square", "rays"):
        assert (found[name] >= found["pgd"] - 0.03).all()
        assert found[name][-1] < found[name][0] - 0.3


def test_square_is_no_weaker_than_arts(target: Target, trained: nn.Module):
    few = target.test[:60]
    victim = PyTorchClassifier(trained, nn.CrossEntropyLoss(), (1, 8, 8), 10, clip_values=(0.0, 1.0))
    attack = SquareAttack(victim, eps=0.15, max_iter=200, nb_restarts=1, batch_size=64, verbose=False)
    theirs = victim.predict(attack.generate(few.x.numpy(), few.y.numpy())).argmax(1) == few.y.numpy()
    trained.requires_grad_(False)
    ours = curves(replace(target, test=few), config(eps=(0.15,), attacks=("square",), queries=200))["square"]
    assert ours[0] <= theirs.mean() + 0.02


# Laws


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 1000),
    st.floats(1e-3, 3),
    st.sampled_from(["linf", "l2"]),
    st.sampled_from([(7,), (1, 5, 5), (3, 8, 4), (2, 3), (1, 1, 2)]),
)
def test_candidates_stay_in_ball_and_bounds(
    unattacked: Unattacked, seed: int, eps: float, norm: str, shape: tuple[int, ...]
):
    target, *_ = linear(3, int(np.prod(shape)), seed, count=8)
    x = torch.rand(8, *shape, generator=torch.Generator().manual_seed(seed))
    y = target.model(x).argmax(1)
    boxed = replace(target, bounds=(0.0, 1.0), test=Examples(x, y))
    batch = replace(unattacked(boxed, config(norms=(norm,), eps=(0.1,))), eps=torch.full((8,), eps))
    for attack in (square, rays):
        moved = attack(batch, config(queries=30))
        assert moved.shape == x.shape
        assert moved.min() >= -1e-6
        assert moved.max() <= 1 + 1e-6
        if attack is square:
            assert (batch.ball.distance(moved, x) <= eps * (1 + 1e-5) + 1e-6).all()


@NORMS
@pytest.mark.parametrize("name", ["square", "rays"])
def test_an_example_fares_the_same_in_any_batch(name: str, norm: str, target: Target, unattacked: Unattacked):
    batch = unattacked(target, config(norms=(norm,), eps=(0.1,))).at(
        torch.arange(40), torch.full((40,), 0.4 if norm == "l2" else 0.08)
    )
    wanted = config(queries=60)
    whole = KNOWN[name].run(batch, wanted)
    for part in (torch.arange(7), torch.tensor([39, 3])):
        piece = KNOWN[name].run(batch.at(part, batch.eps[part]), wanted)
        assert torch.allclose(piece, whole[part], atol=1e-6)


def test_more_queries_never_help_the_defender(target: Target):
    few = replace(target, test=target.test[:60])
    weak, strong = (curves(few, config(eps=(0.1,), attacks=("rays",), queries=n))["rays"] for n in (40, 400))
    assert strong[0] <= weak[0]
    assert strong[0] < weak[0] - 0.1


def test_decisions_are_all_that_rays_sees(target: Target):
    """The same labels from other logits give the same finds."""

    class Hard(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.one_hot(target.model(x).argmax(1), 10).float()

    few = replace(target, test=target.test[:40])
    wanted = config(eps=(0.1,), attacks=("rays",), queries=100)
    assert np.array_equal(curves(few, wanted)["rays"], curves(replace(few, model=Hard()), wanted)["rays"])


# Transfer


def test_what_fools_one_model_is_tried_on_another(
    target: Target, digits: Examples, fresh: Callable[[int], nn.Module], train: Callable[..., nn.Module]
):
    target = replace(target, test=target.test[:80])
    wanted = config(transfer=True, norms=("linf", "l2"), eps={"linf": (0.2,), "l2": (1.2,)}, attacks=("pgd",))
    twin = perturbations(replace(target, model=train(fresh(7), digits[:600], epochs=8)), wanted)
    own = perturbations(target, wanted)
    noise = {
        k: torch.empty_like(v).uniform_(-1, 1, generator=generator()) / (1 if k == "linf" else 8)
        for k, v in own.items()
    }
    robust = {}
    for name, source in (("twin", twin), ("own", own), ("noise", noise)):
        found = evasion.run(
            replace(target, others=lambda _, source=source: {"dense": [source]}), wanted, generator()
        )
        robust[name] = [r.value for r in found if r.at.get("attack") == "transfer" and "from" not in r.at]
        pgd = [r.value for r in found if r.at.get("attack") == "pgd"]
        worst = [r.value for r in found if r.at.get("attack") == "worst_case" and r.at["norm"] != "union"]
        assert all(w <= min(p, t) + 1e-9 for w, p, t in zip(worst, pgd, robust[name], strict=True))
        assert [r.value for r in found if r.at.get("from") == "dense"] == robust[name]
        assert "transfer_stronger" in {r.at.get("flag") for r in found}
    for own_, twin_, noise_ in zip(robust["own"], robust["twin"], robust["noise"], strict=True):
        assert own_ <= twin_ + 0.02  # what was made on the model itself does best
        assert twin_ < noise_ - 0.1  # and what was made on its twin far better than noise


def test_perturbations_are_no_longer_than_they_say(target: Target):
    wanted = config(norms=("linf", "l2"), eps=EPS)
    made = perturbations(replace(target, test=target.test[:30]), wanted)
    assert {name: tuple(shift.shape) for name, shift in made.items()} == dict.fromkeys(EPS, (3, 30, 1, 8, 8))
    assert made["linf"].abs().max() <= 1
    assert torch.linalg.vector_norm(made["l2"].double().flatten(2), dim=2).max() <= 1


def test_no_other_model_is_a_row(target: Target):
    found = evasion.run(target, config(transfer=True, attacks=("fgsm",)), generator())
    (row,) = [r for r in found if r.at.get("attack") == "transfer"]
    assert row.status == "not_applicable"


def test_transfer_that_beats_gradients_is_flagged(target: Target):
    """A model whose gradients are hidden falls to what was made on the model behind it."""

    class Hidden(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return target.model(x.detach())

    wanted = config(transfer=True, eps=(0.1,), attacks=("pgd",))
    source = perturbations(target, wanted)
    hidden = replace(target, model=Hidden(), others=lambda _: {"dense": [source]})
    flags = {r.at["flag"]: r for r in evasion.run(hidden, wanted, generator()) if r.metric == "attack_health"}
    assert flags["transfer_stronger"].value > 0.2 > flags["transfer_stronger"].at["limit"]


# The union of norms


def test_the_union_is_taken_per_example(target: Target):
    found = evasion.run(target, config(norms=("linf", "l2"), eps=EPS), generator())
    at = {
        (r.at["norm"], r.at["eps"]): r.outcomes["correct"]
        for r in found
        if r.at.get("attack") == "worst_case"
    }
    for a, b in zip(EPS["linf"], EPS["l2"], strict=True):
        assert np.array_equal(at["union", a], at["linf", a] & at["l2", b])


def test_one_norm_has_no_union(target: Target):
    assert not [
        r for r in evasion.run(target, config(eps=(0.1,)), generator()) if r.at.get("norm") == "union"
    ]


# Corruptions


def images() -> Tensor:
    return torch.rand(3, 2, 11, 9, generator=generator())


def test_blur_is_scipys():
    ours = _corruptions.blur(images(), 5, torch.zeros(3, dtype=torch.int64))
    theirs = gaussian_filter(images().numpy(), (0, 0, 1.0, 1.0), mode="nearest", radius=4)
    assert np.allclose(ours, theirs, atol=1e-5)


def test_jpegs_cosine_transform_is_scipys():
    block = images()[0, 0, :8, :8]
    cosine = _corruptions._cosine(block)
    assert np.allclose(cosine @ block @ cosine.T, dctn(block.numpy(), norm="ortho"), atol=1e-5)


def test_jpeg_keeps_smooth_images_and_loses_fine_detail():
    flat, fine = torch.full((1, 1, 16, 16), 0.5), torch.rand(1, 1, 16, 16, generator=generator())
    none = torch.zeros(1, dtype=torch.int64)
    losses = [float((_corruptions.jpeg(fine, s, none) - fine).abs().mean()) for s in (1, 3, 5)]
    assert float((_corruptions.jpeg(flat, 5, none) - flat).abs().max()) < 0.01
    assert losses == sorted(losses)
    assert losses[0] > 0.01


@pytest.mark.parametrize("name", list(_corruptions.CORRUPTIONS))
def test_corruptions_grow_with_severity(name: str):
    seeds, made = torch.arange(3), _corruptions.CORRUPTIONS[name]
    changes = [float((made(images(), s, seeds) - images()).abs().mean()) for s in (1, 2, 3, 4, 5)]
    assert all(a < b for a, b in pairwise(changes))


def test_corruptions_have_their_rows_and_do_not_need_zero_to_one(target: Target):
    class Shifted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return target.model((x + 1) / 2)

    few = replace(target, test=target.test[:80])
    wide = replace(few, model=Shifted(), bounds=(-1.0, 1.0), test=Examples(few.test.x * 2 - 1, few.test.y))
    first, second = (_corruptions.corrupted(t, generator()) for t in (few, wide))
    assert len(first) == 25
    assert [r.value for r in first] == pytest.approx([r.value for r in second], abs=0.03)
    clean = float((target.model(few.test.x).argmax(1) == few.test.y).float().mean())
    by = {(r.at["corruption"], r.at["severity"]): r.value for r in first}
    assert by["blur", 5] < by["blur", 1] <= clean + 0.03


def test_tables_have_no_common_corruptions():
    target, *_ = linear(3, 5, 0)
    (row,) = _corruptions.corrupted(target, generator())
    assert row.status == "not_applicable"
    assert "no images" in row.note


# ART by name


def test_arts_attacks_are_held_to_our_rules(target: Target):
    few = replace(target, test=target.test[:50])
    wanted = config(
        eps=(0.05, 0.1),
        attacks=("pgd", "art:ProjectedGradientDescent", "art:DeepFool", "art:HopSkipJump"),
        art={
            "ProjectedGradientDescent": {"max_iter": 20},
            "HopSkipJump": {"max_iter": 2, "max_eval": 100, "init_eval": 10},
        },
    )
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    modes = [m.training for m in target.model.modules()]
    found = curves(few, wanted)
    assert abs(found["art:ProjectedGradientDescent"] - found["pgd"]).max() <= 0.06
    assert (found["art:DeepFool"] >= found["pgd"] - 0.02).all()
    assert np.array_equal(found["worst_case"], np.minimum.reduce([v for k, v in found.items()]))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]
    assert [m.training for m in target.model.modules()] == modes
    assert not any(p.requires_grad or p.grad is not None for p in target.model.parameters())


def test_art_sees_a_sequentials_own_forward(target: Target):
    """ART itself walks the children of a Sequential, and would attack another model than this one."""

    class Reversed(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return -super().forward(x)

    model = Reversed(target.model).eval()
    few = target.test[:40]
    wrong = replace(target, model=model, test=Examples(few.x, model(few.x).argmax(1)))
    found = curves(wrong, config(eps=(0.1,), attacks=("pgd", "art:ProjectedGradientDescent")))
    assert found["art:ProjectedGradientDescent"][0] <= found["pgd"][0] + 0.1


def test_the_same_art_rows_whatever_the_batch_size(target: Target):
    few = replace(target, test=target.test[:40])
    wanted = config(
        eps=(0.1,),
        attacks=("art:AutoProjectedGradientDescent",),
        art={"AutoProjectedGradientDescent": {"max_iter": 5, "nb_random_init": 1}},
    )
    first, second = (curves(replace(few, batch_size=n), wanted) for n in (7, 100))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_foreign_attacks_find_the_same_whatever_the_cut(target: Target):
    """ART draws from numpy's global generator, a user's function from torch's; what they find depends on the
    block, which no cut changes."""

    def noise(x: Tensor, eps: float) -> Tensor:
        return x + eps * torch.randn(x.shape).sign() + 0 * x.mean()

    few = replace(target, test=target.test[:30], block=8, adaptive=noise)
    wanted = config(
        eps=(0.1, 0.3),
        attacks=("fgsm", "art:SquareAttack", "art:ProjectedGradientDescent"),
        adaptive="mine.py:noise",
        art={
            "SquareAttack": {"max_iter": 10},
            "ProjectedGradientDescent": {"max_iter": 3, "num_random_init": 1},
        },
    )
    first = evasion.CUT.stages[0]
    whole = first.piece(few, wanted, generator(), {}, range(30))
    for size in (8, 16):
        ranges = [range(start, min(start + size, 30)) for start in range(0, 30, size)]
        cut = merged([first.piece(few, wanted, generator(), {}, some) for some in ranges])
        assert set(cut) == set(whole)
        assert all(np.array_equal(cut[name], values) for name, values in whole.items())
    other = first.piece(replace(few, block=16), wanted, generator(), {}, range(30))
    foreign = [name for name in whole if "art:" in name or "adaptive" in name]
    assert any(not np.array_equal(other[name], whole[name]) for name in foreign)  # or nothing was drawn


def test_an_art_attack_that_crashes_is_a_row_and_no_crash(target: Target):
    wanted = config(
        eps=(0.1,),
        attacks=("fgsm", "art:SpatialTransformation"),
        art={"SpatialTransformation": {"max_translation": -5.0}},
    )
    found = robust_curves(target, wanted, evasion.chosen_attacks(wanted), generator())
    status = {r.at["attack"]: r.status for r in found if r.metric == "robust_accuracy"}
    assert status["fgsm"] == status["worst_case"] == "ok"
    assert status["art:SpatialTransformation"] == "failed"


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"attacks": ("art:DeapFool",)}, "ART has no attack 'DeapFool'.*DeepFool.*HopSkipJump"),
        (
            {"attacks": ("art:DeepFool",), "art": {"DeepFool": {"steps": 3}}},
            "art.DeepFool.steps: no such.*max_iter",
        ),
        ({"attacks": ("art:DeepFool",), "art": {"DeepFool": {"batch_size": 3}}}, "the audit sets it"),
        ({"attacks": ("pgd",), "art": {"DeepFool": {}}}, 'attacks does not name "art:DeepFool"'),
        ({"attacks": ("art:DeepFool", "art:DeepFool")}, "named twice"),
        ({"level": "hard"}, "'quick', 'standard' or 'thorough'"),
        ({"queries": 0}, "greater than or equal to 1"),
    ],
)
def test_bad_settings_say_why(given_: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        evasion.Settings(**given_)  # type: ignore[arg-type]


def test_every_usable_art_attack_is_offered():
    assert {"DeepFool", "HopSkipJump", "CarliniL2Method", "SquareAttack"} <= _art.available().keys()
    assert "DPatch" not in _art.available()  # for detectors of objects


# Levels


def test_levels_fill_what_the_plan_leaves_open():
    assert evasion.Settings().level == "standard"
    assert evasion.Settings(level="quick").attacks == attacks_of("quick")
    mine = evasion.Settings(level="thorough", queries=7, attacks=("pgd",))
    assert (mine.queries, mine.attacks, mine.restarts, mine.corruptions) == (7, ("pgd",), 5, True)
    assert evasion.Settings(**mine.model_dump()) == mine


def test_a_level_runs_its_attacks_and_those_of_the_levels_below():
    assert set(attacks_of("quick")) < set(attacks_of("standard")) < set(attacks_of("thorough"))
    assert set(attacks_of("thorough")) == {name for name, attack in KNOWN.items() if attack.level}
    for low, high in pairwise(LEVELS):
        new = set(attacks_of(high)) - set(attacks_of(low))
        assert {KNOWN[name].level for name in new} == {high}


def test_what_sees_less_is_named_so():
    assert (KNOWN["square"].sees, KNOWN["rays"].sees) == ("scores", "labels")


def test_a_row_alone_is_of_all_examples(target: Target):
    few = replace(target, test=target.test[:40])
    alone, after = (
        robust_curves(few, wanted, evasion.chosen_attacks(wanted), generator())
        for wanted in (
            evasion.Settings(level="quick", eps=(0.1,), attacks=("pgd", "square"), queries=20, alone=flag)
            for flag in (True, False)
        )
    )
    said: list[Measurement] = [r for r in alone if r.at["attack"] == "square"]
    assert said[0].value > next(r for r in alone if r.at["attack"] == "pgd").value
    (left,) = [r for r in after if r.at["attack"] == "square"]
    assert "left standing" in left.note
