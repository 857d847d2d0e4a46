"""Membership attacks, with reference models above all: naive twins, null and positive controls."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from scipy.special import softmax
from sklearn.metrics import roc_auc_score, roc_curve

from attacks._techniques import techniques
from attacks.intervals import auc, tpr_at_fpr
from attacks.membership import Settings, run
from attacks.membership._attack import Evidence, Judgement, MembershipAttack, UnfitError, best_threshold
from attacks.membership._boundary import distances
from attacks.membership._knowledge import together
from attacks.membership._lira import moments
from attacks.membership._planted import doubt, planted
from attacks.membership._references import answers, halves, judged_of, population, sound
from attacks.membership._settings import PACKAGE
from attacks.membership._signals import (
    entropy,
    hinge,
    lowness,
    max_confidence,
    modified_entropy,
    scaled_confidence,
)
from attacks.membership.ensemble import ensemble
from attacks.membership.quantile import regressed
from attacks.probe import Examples, Held, Measurement, References, Target

KNOWN = techniques(PACKAGE, MembershipAttack)
REFERENCED = tuple(name for name, attack in KNOWN.items() if attack.needs == "references")
LEARNED = ("art_black_box", "samia")
PLAIN = tuple(n for n, a in KNOWN.items() if n not in LEARNED and a.needs != "others")
WITH_LOSS = tuple(n for n in (*PLAIN, *LEARNED) if KNOWN[n].sees != "probabilities")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def world(seed: int, count: int = 60, models: int = 8, classes: int = 4, queries: int = 1) -> Evidence:
    """Models whose outputs depend on example and label, and know nothing of their training sets."""
    random = np.random.default_rng(seed)
    y = random.integers(0, classes, 2 * count)
    hardness = random.normal(size=(2 * count, 1, classes)) + 2 * np.eye(classes)[y][:, None]

    def model(asked: int) -> NDArray[np.float64]:
        return hardness + random.normal(size=(2 * count, asked, classes))

    ours, asked = model(6), np.stack([model(queries) for _ in range(models)])
    return Evidence(
        logits=ours[:, 0],
        y=y,
        member=np.arange(2 * count) < count,
        known=np.arange(2 * count) % 2 == 0,
        x=random.normal(size=(2 * count, 5)).astype(np.float32),
        noisy=ours[:, 1:],
        augmented=ours[:, :queries] if queries > 1 else ours,
        references=References(asked.astype(np.float32), halves(models, 2 * count, seed), count),
        distances=random.exponential(size=2 * count),
    )


def judge(name: str, evidence: Evidence, **settings: object) -> Judgement:
    return KNOWN[name].run(evidence, Settings(**settings), generator())


# Signals


def test_signals_are_those_of_the_papers():
    random = np.random.default_rng(0)
    logits, y = 3 * random.normal(size=(50, 5)), random.integers(0, 5, 50)
    p = softmax(logits, axis=1)
    for i, (row, label) in enumerate(zip(p, y, strict=True)):
        others = [q for j, q in enumerate(row) if j != label]
        plain = -sum(q * np.log(q) for q in row)
        modified = -(1 - row[label]) * np.log(row[label]) - sum(q * np.log(1 - q) for q in others)
        assert scaled_confidence(logits, y)[i] == pytest.approx(np.log(row[label] / sum(others)), abs=1e-9)
        assert entropy(logits)[i] == pytest.approx(plain, abs=1e-9)
        assert modified_entropy(logits, y)[i] == pytest.approx(modified, abs=1e-9)
        assert max_confidence(logits)[i] == pytest.approx(np.log(row.max() / (1 - row.max())), abs=1e-9)
        assert hinge(logits, y)[i] == pytest.approx(
            logits[i, label] - np.delete(logits[i], label).max(), abs=1e-12
        )


def test_signals_of_very_confident_examples_are_finite_and_do_not_tie():
    logits = np.array([[40.0, 0, 0], [60.0, 0, 0], [0, 50.0, 0]])
    y = np.zeros(3, dtype=np.int64)
    for found in (
        scaled_confidence(logits, y),
        hinge(logits, y),
        lowness(modified_entropy(logits, y)).astype(np.float32),
    ):
        assert np.isfinite(found).all()
        assert found[1] > found[0] > found[2]
    sure = lowness(entropy(logits)).astype(np.float32)
    assert sure[1] > sure[2] > sure[0]


# LiRA and RMIA against the papers' formulas, one example at a time


@pytest.mark.parametrize("queries", [1, 3])
@pytest.mark.parametrize("shared", [False, True])
def test_lira_is_the_papers(queries: int, shared: bool):
    evidence = world(1, queries=queries)
    refs = evidence.references
    n, suffix = len(evidence.y), "_shared" if shared else ""

    def phi(logits: NDArray[np.float64], i: int) -> float:
        p = softmax(logits.astype(np.float64))
        return float(np.log(p[evidence.y[i]]) - np.log(1 - p[evidence.y[i]]))

    asked = evidence.augmented if queries > 1 else evidence.logits[:, None]
    seen: dict[tuple[int, int, bool], list[float]] = {}
    for r, i, q in itertools.product(range(len(refs)), range(n), range(queries)):
        key = (i, q, bool(refs.inside[r, i]))
        seen.setdefault(key, []).append(phi(refs.logits[r, i, q], i))

    def spread(i: int, q: int, side: bool) -> float:
        if not shared:
            return float(np.std(seen[i, q, side], ddof=1))
        centred = [v - np.mean(seen[j, q, side]) for j in range(n) for v in seen[j, q, side]]
        return float(np.sqrt(np.sum(np.square(centred)) / (len(centred) - n)))

    online, offline = (judge(f"lira_{mode}{suffix}", evidence).score for mode in ("online", "offline"))
    for i in range(0, n, 7):
        ratios, above = [], []
        for q in range(queries):
            value = phi(asked[i, q], i)
            inside, outside = (
                stats.norm(np.mean(seen[i, q, side]), spread(i, q, side)) for side in (True, False)
            )
            ratios.append(inside.logpdf(value) - outside.logpdf(value))
            above.append((value - outside.mean()) / outside.std())
            if queries == 1:  # the paper's offline score is the normal distribution's at ours
                assert stats.norm.cdf(offline[i]) == pytest.approx(outside.cdf(value), abs=1e-6)
        assert online[i] == pytest.approx(np.mean(ratios), abs=1e-6)
        assert offline[i] == pytest.approx(np.mean(above), abs=1e-6)


@pytest.mark.parametrize("mode", ["online", "offline", "simple"])
def test_rmia_is_the_papers(mode: str):
    evidence = world(2)
    refs, a, gamma, temperature = evidence.references, 0.3, 2.0, 2.0

    def p(logits: NDArray[np.float64], i: int) -> float:
        return float(softmax(logits.astype(np.float64) / temperature)[evidence.y[i]])

    def ratio(i: int) -> float:
        sides = [
            np.mean([p(refs.logits[r, i, 0], i) for r in range(len(refs)) if refs.inside[r, i] == side])
            for side in (True, False)
        ]
        base = sum(sides) / 2 if mode == "online" else ((1 + a) * sides[1] + (1 - a)) / 2
        return p(evidence.logits[i], i) / base

    score = judge(f"rmia_{mode}", evidence).score
    population = [ratio(z) for z in range(len(evidence.y)) if evidence.known[z] and not evidence.member[z]]
    for i in range(len(evidence.y)):
        wanted = ratio(i) if mode == "simple" else np.mean([ratio(i) / z >= gamma for z in population])
        assert score[i] == pytest.approx(wanted, abs=1e-6)


def test_one_standard_deviation_of_many_is_nearer_the_truth_than_one_of_two():
    values = np.random.default_rng(0).normal(scale=2.0, size=(4, 500, 1))
    chosen = halves(4, 500, 0)
    alone, common = (abs(moments(values, chosen, shared)[1] - 2.0).mean() for shared in (False, True))
    assert common < 0.1 < alone


def test_low_rates_are_those_of_the_roc_curve():
    """The attacker's threshold is one that sklearn's curve has, and lets no more than the rate pass."""
    evidence = world(3, count=1000)
    score = judge("lira_online_shared", evidence).score
    false, true, _ = roc_curve(evidence.member, score, drop_intermediate=False)
    for fpr in (0.1, 0.01):
        found = tpr_at_fpr(score, evidence.member, fpr)
        assert found.value in true[false <= fpr]
        assert found.value >= true[false <= fpr - 2 / 1000].max()
    assert auc(score, evidence.member).value == pytest.approx(roc_auc_score(evidence.member, score), abs=1e-9)


# Learned attacks


def test_class_thresholds_are_each_classs_own():
    evidence = world(4, count=200)
    judged = judge("class_threshold", evidence)
    score = lowness(modified_entropy(evidence.logits, evidence.y))
    for label in range(4):
        here = evidence.known & (evidence.y == label)
        own = best_threshold(score[here], evidence.member[here])
        assert np.array_equal(
            judged.decision[evidence.y == label], score[evidence.y == label] >= own
        ) or np.isinf(own)


def test_quantile_regression_is_ridge_of_the_mean_and_of_the_log_spread():
    random = np.random.default_rng(5)
    features, score = random.normal(size=(80, 3)), random.normal(size=80)
    taught = np.arange(80) < 50

    def ridge(target: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
        inputs, values = features[taught], target[taught]
        centred = inputs - inputs.mean(0)
        weights = np.linalg.solve(
            centred.T @ centred + alpha * np.eye(3), centred.T @ (values - values.mean())
        )
        return values.mean() + (features - inputs.mean(0)) @ weights

    mean, spread = regressed(features, score, taught)
    assert mean == pytest.approx(ridge(score, 1.0), abs=1e-8)
    left = abs(score - mean)
    wanted = np.exp(ridge(np.log(np.maximum(left, 1e-3 * left[taught].mean())), 10.0))
    wanted *= np.sqrt(np.mean((left[taught] / wanted[taught]) ** 2))
    assert spread == pytest.approx(wanted, abs=1e-8)


def test_quantile_regression_finds_what_one_threshold_does_not():
    """Members score one above what their input predicts, which itself varies by far more."""
    random = np.random.default_rng(6)
    x = random.normal(size=(2000, 3)).astype(np.float32)
    member = np.arange(2000) < 1000
    phi = 5 * x[:, 0] + member + 0.3 * random.normal(size=2000)
    evidence = Evidence(
        np.column_stack((phi, np.zeros(2000))), np.zeros(2000, int), member, np.arange(2000) % 2 == 0, x=x
    )
    scores = {name: judge(name, evidence).score[~evidence.known] for name in ("loss", "quantile")}
    found = {name: auc(score, member[~evidence.known]).value for name, score in scores.items()}
    assert found["loss"] < 0.6 < 0.95 < found["quantile"]


def test_ensemble_scores_by_the_smallest_p_value_and_says_whose_it_is():
    evidence = world(7, count=100)
    loss, other = judge("loss", evidence), judge("rmia_simple", evidence)
    found = ensemble(replace(evidence, others={"loss": loss, "rmia_simple": other}), Settings(), generator())
    known = evidence.known & ~evidence.member
    which, names = found.by
    for i in range(len(evidence.y)):
        p = [(1 + (j.score[known] >= j.score[i]).sum()) / (1 + known.sum()) for j in (loss, other)]
        step = np.log10((known.sum() + 2) / (known.sum() + 1))
        assert -np.log10(min(p)) - 1e-9 <= found.score[i] <= -np.log10(min(p)) + step
        assert names[which[i]] == ("loss" if p[0] < p[1] else "rmia_simple") or p[0] == p[1]


def test_an_ensemble_finds_members_that_different_attacks_expose():
    evidence = world(8, count=200)
    half = [evidence.member & (np.arange(400) % 4 < 2), evidence.member & (np.arange(400) % 4 >= 2)]
    random = np.random.default_rng(0)
    scores = [np.where(some, 10.0, random.normal(size=400)) for some in half]
    others = {str(i): Judgement(score, score > 5) for i, score in enumerate(scores)}
    found = ensemble(replace(evidence, others=others), Settings(), generator())
    unseen = ~evidence.known
    assert auc(found.score[unseen], evidence.member[unseen]).value == 1.0
    assert all(auc(score[unseen], evidence.member[unseen]).value < 0.9 for score in scores)


# Null: outputs that know nothing of membership


@cache
def worlds() -> list[Evidence]:
    return [world(100 + seed, count=50, models=4, classes=3) for seed in range(200)]


def covered(name: str) -> int:
    """In how many of 200 draws the AUC's interval holds one half."""
    hits = 0
    for evidence in worlds():
        judged = judge(name, evidence)
        rest = ~evidence.known if judged.learnt else np.ones_like(evidence.known)
        area = auc(judged.score[rest].astype(np.float32), evidence.member[rest])
        hits += area.low <= 0.5 <= area.high
    return hits


@pytest.mark.parametrize("name", PLAIN)
def test_null_every_interval_holds_guessing_at_the_rate_promised(name: str):
    assert covered(name) >= stats.binom(200, 0.95).ppf(0.005)


def test_null_of_a_rate_at_few_false_positives():
    hits = 0
    for evidence in worlds():
        found = tpr_at_fpr(judge("lira_online_shared", evidence).score, evidence.member, 0.2)
        hits += found.low <= 0.2 <= found.high
    assert hits >= stats.binom(200, 0.95).ppf(0.005)


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNED)
def test_null_of_attacks_that_train(name: str):
    assert covered(name) >= stats.binom(200, 0.95).ppf(0.005)


def test_null_of_the_ensemble():
    """Of attacks that know nothing, however many, the ensemble knows nothing."""
    hits = 0
    for evidence in worlds()[:100]:
        others = {name: judge(name, evidence) for name in ("loss", "noise", "lira_online", "rmia_offline")}
        found = ensemble(replace(evidence, others=others), Settings(), generator())
        area = auc(found.score[~evidence.known], evidence.member[~evidence.known])
        hits += area.low <= 0.5 <= area.high
    assert hits >= stats.binom(100, 0.95).ppf(0.005)


def test_null_of_an_attacker_who_holds_several_models():
    hits = 0
    for evidence, other in itertools.pairwise(worlds()[:101]):
        twin = replace(evidence, logits=other.logits)
        found = together(KNOWN["loss"], [evidence, twin], Settings(), 0)[0]
        area = auc(found.score[~evidence.known], evidence.member[~evidence.known])
        hits += area.low <= 0.5 <= area.high
    assert hits >= stats.binom(100, 0.95).ppf(0.005)


# Positive: models that know their training sets by heart


@pytest.mark.parametrize("name", WITH_LOSS)
def test_positive_a_planted_memoriser_is_found(name: str):
    assert doubt(KNOWN[name], world(10, count=200), Settings(), 0) == ""
    control = planted(world(10, count=200), 0)
    judged = judge(name, control)
    unseen = ~control.known
    assert auc(judged.score[unseen], control.member[unseen]).value >= 0.95


def test_an_attack_that_misses_the_memoriser_is_in_doubt():
    blind = MembershipAttack(
        lambda e, s, g: Judgement(np.zeros(len(e.y)), np.zeros(len(e.y), bool)), paper="none"
    )
    assert "in doubt" in doubt(blind, world(11), Settings(), 0)


# Real nets


@pytest.fixture(scope="module")
def overfitted(
    digits: Examples,
    train: Callable[..., torch.nn.Module],
    fresh: Callable[[int], torch.nn.Module],
    make_target: Callable[..., Target],
) -> Target:
    """A net trained on 150 digits, the first 8 of them mislabelled, with 8 references trained likewise."""
    members, nonmembers = digits[:150], digits[150:750]
    canaries = torch.arange(8)
    members = Examples(members.x, members.y.clone())
    members.y[canaries] = (members.y[canaries] + 5) % 10
    sides = population(members, nonmembers)
    everyone = Examples(*(torch.cat([getattr(side, key) for side in sides]) for key in ("x", "y")))
    inside = halves(8, len(everyone), 0)
    settings = Settings()
    logits = [
        answers(train(fresh(20 + r), everyone[torch.from_numpy(own).nonzero()[:, 0]], epochs=40), sides,
                settings, 256)
        for r, own in enumerate(inside)
    ]  # fmt: skip
    count = judged_of(len(sides[0]), len(sides[1]), settings)
    refs = References(np.stack(logits), inside, count[0])
    return make_target(
        train(fresh(9), members, epochs=40), members=members, nonmembers=nonmembers, references=lambda: refs
    )


def pick(rows: list[Measurement], metric: str, attack: str, **more: object) -> Measurement:
    (row,) = [r for r in rows if r.metric == metric and dict(r.at) == {"attack": attack, **more}]
    return row


def test_canaries_are_among_the_most_exposed(overfitted: Target):
    rows = list(run(overfitted, Settings(attacks=("lira_online_shared",), attackers=()), generator()))
    found = pick(rows, "membership_auc", "lira_online_shared").outcomes
    order = np.argsort(-found["score"][found["member"]])
    assert (
        set(found["index"][found["member"]][order[:8]].tolist()) >= set(range(6))
        or len(set(found["index"][found["member"]][order[:8]].tolist()) & set(range(8))) >= 6
    )


def test_references_find_more_than_the_loss(overfitted: Target):
    rows = list(run(overfitted, Settings(attackers=(), fpr=0.1), generator()))
    loss = pick(rows, "membership_tpr", "loss", fpr=0.1).value
    assert {row.status for row in rows} <= {"ok", "refused"}
    for name in ("lira_online_shared", "rmia_simple"):
        assert pick(rows, "membership_tpr", name, fpr=0.1).value > loss


def test_distances_to_the_boundary_are_those_of_a_linear_model():
    """In L∞ the boundary of two classes is |w · x + b| / ‖w‖₁ away; RayS finds that but for its bisection."""
    net = torch.nn.Linear(3, 2).eval().requires_grad_(False)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1.0, -2.0, 1.0], [0.0, 0.0, 0.0]]))
        net.bias.copy_(torch.tensor([0.1, 0.0]))
    x = torch.rand(50, 3, generator=generator(2))
    gap = x @ net.weight[0] + 0.1
    y = torch.where(torch.arange(50) < 40, (gap < 0).long(), (gap > 0).long())  # of ten the label is wrong
    found = distances(Target(net, 2, (-9.0, 9.0), Examples(x, y)), Examples(x, y), 200)
    assert found[:40] == pytest.approx((gap.abs() / 4)[:40].numpy(), rel=0.03)
    assert (found[40:] == 0).all()


def test_label_only_and_the_ensemble_judge_their_own_examples(target: Target):
    settings = Settings(
        attacks=("label_only", "loss", "margin", "ensemble"), attackers=(), fpr=0.2,
        boundary_examples=40, boundary_queries=60,
    )  # fmt: skip
    rows = list(run(target, settings, generator()))
    near, every = (pick(rows, "membership_auc", name) for name in ("label_only", "ensemble"))
    assert (near.n, every.n) == (40, 300)
    assert set(every.outcomes["by"]) <= {0, 1}


def test_members_swapped_at_random_leak_nothing(overfitted: Target):
    """The very nets, but who is called a member is drawn by lot: 95% of intervals hold one half."""
    from attacks.membership._game import Game

    evidence = Game(overfitted, overfitted.members, overfitted.nonmembers, Settings()).referenced()
    random = np.random.default_rng(0)
    hits = dict.fromkeys(("loss", "lira_online", "lira_offline_shared", "rmia_online", "class_threshold"), 0)
    fixed = {name: judge(name, evidence) for name in hits}
    for _ in range(200):
        swapped = replace(evidence, member=random.permutation(evidence.member))
        for name, judged in fixed.items():
            if judged.learnt:
                judged = judge(name, swapped)
            rest = ~swapped.known if judged.learnt else np.ones_like(swapped.known)
            area = auc(judged.score[rest], swapped.member[rest])
            hits[name] += area.low <= 0.5 <= area.high
    assert min(hits.values()) >= stats.binom(200, 0.95).ppf(0.005), hits


def test_who_holds_two_models_does_not_do_worse(overfitted: Target, train: Callable[..., torch.nn.Module]):
    from attacks.membership._game import Game

    net = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(64, 200), torch.nn.ReLU(), torch.nn.Linear(200, 10)
    )
    other = Held(train(net, overfitted.members, epochs=40))
    game = Game(overfitted, overfitted.members, overfitted.nonmembers, Settings())
    held = [game.alone(), game.alone("dense", other)]
    joint, single = together(KNOWN["loss"], held, Settings(), 0)
    rest = ~held[0].known
    areas = [auc(j.score[rest], held[0].member[rest]) for j in (joint, *single)]
    assert areas[0].high >= max(a.value for a in areas[1:])
    rows = run(
        replace(overfitted, held=lambda: {"dense": other}),
        Settings(attacks=("loss",), attackers=("pair",)), generator(),
    )  # fmt: skip
    assert pick(list(rows), "membership_auc", "loss@pair", attacker="pair").value == pytest.approx(
        areas[0].value
    )


def test_of_a_dense_model_other_attackers_hold_that_model_alone(overfitted: Target):
    dense = replace(overfitted, held=dict)
    settings = Settings(attacks=("loss", "lira_online_shared"), attackers=("recipe_unknown", "pair"), fpr=0.1)
    rows = [r for r in run(dense, settings, generator()) if r.metric == "membership_auc"]
    found = {str(row.at["attack"]): row for row in rows}
    assert {row.status for row in rows} == {"ok"}
    assert found["lira_online_shared@recipe_unknown"].value == found["lira_online_shared"].value
    known = np.arange(len(found["loss"].outcomes["score"])) % 2 == 0
    half = auc(found["loss"].outcomes["score"][~known], found["loss"].outcomes["member"][~known])
    assert found["loss@pair"].value == pytest.approx(half.value, abs=1e-6)


# What references must be


def test_each_example_is_inside_half_of_the_references():
    inside = halves(6, 101, 3)
    assert (inside.sum(axis=0) == 3).all()
    assert not (inside[0] & inside[1]).any()
    assert not np.array_equal(inside[0], inside[2])


def test_collapsed_references_are_left_out_and_told():
    evidence = world(12)
    logits = evidence.references.logits.copy()
    logits[2] = 0
    logits[5] = np.nan
    kept = sound(replace(evidence.references, logits=logits), evidence.y)
    assert len(kept) == 6
    assert "2 of 8 reference models are near chance" in kept.note


def test_without_references_the_rows_say_so(target: Target):
    rows = list(run(target, Settings(attackers=("recipe_unknown", "pair"), fpr=0.1), generator()))
    for row in rows:
        needs = KNOWN[str(row.at["attack"]).partition("@")[0]].needs == "references" or "attacker" in row.at
        assert row.status == ("not_applicable" if needs else "ok"), row
        assert not needs or row.note
    empty = References(np.zeros((0, 0, 1, 10), np.float32), np.zeros((0, 0), bool), 0, note="weights only")
    rows = list(run(replace(target, references=lambda: empty), Settings(fpr=0.1), generator()))
    assert pick(rows, "membership_auc", "lira_online").note == "weights only"


def test_two_references_are_too_few_for_a_variance_of_each_example():
    evidence = world(13, models=2)
    with pytest.raises(UnfitError, match="at least 2 reference models that did not train on it"):
        judge("lira_online", evidence)
    assert np.isfinite(judge("rmia_online", evidence).score).all()


def test_an_attack_that_crashes_leaves_the_others(target: Target, monkeypatch: pytest.MonkeyPatch):
    import attacks.membership as membership

    def crash(*_: object) -> Judgement:
        raise ZeroDivisionError("boom")

    broken = {**KNOWN, "loss": replace(KNOWN["loss"], run=crash)}
    monkeypatch.setattr(membership, "techniques", lambda *_: broken)
    rows = run(target, Settings(attacks=("loss", "margin"), attackers=(), fpr=0.1), generator())
    assert {(row.at["attack"], row.status) for row in rows} == {("loss", "failed"), ("margin", "ok")}


def test_settings():
    assert Settings(level="quick").references == 4
    assert set(Settings(level="quick").attacks) == {
        "art_black_box",
        "lira_online_shared",
        "loss",
        "rmia_simple",
    }
    assert set(Settings(level="standard").attacks) < set(Settings(level="thorough").attacks)
    assert Settings(fpr=0.05).fpr == (0.05,)
    with pytest.raises(ValueError, match="even number"):
        Settings(references=3)
    with pytest.raises(ValueError, match="given twice"):
        Settings(fpr=[0.1, 0.1])
