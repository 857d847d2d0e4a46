from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from torch import Tensor, nn

from attacks.intervals import auc, balanced_accuracy
from attacks.membership import Settings, run
from attacks.membership._attack import Evidence, best_threshold, threshold_decision
from attacks.membership.art_black_box import art_black_box
from attacks.membership.loss import loss
from attacks.probe import Examples, Measurement, Target

ATTACKS = ("art_black_box", "loss")
TWO = Settings(attacks=ATTACKS, attackers=(), fpr=0.01)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pick(rows: list[Measurement], metric: str, attack: str) -> Measurement:
    (row,) = [r for r in rows if r.metric == metric and r.at["attack"] == attack]
    return row


class Fixed(nn.Module):
    """Inputs are the logits: the model is a table."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Flat(nn.Module):
    """Says the same of everything."""

    def forward(self, x: Tensor) -> Tensor:
        return 0 * x


def tabled(logits: Tensor, y: Tensor, count: int) -> Target:
    """A target that answers with these logits; the first ``count`` examples are the members."""
    data = Examples(logits, y)
    return Target(Fixed(), logits.shape[1], (-9.0, 9.0), data[:1], data[:count], data[count:])


# Controls


@pytest.fixture(scope="module")
def memorised(digits: Examples, train: Callable[..., nn.Module]) -> tuple[nn.Module, Examples, Examples]:
    """Trained on random labels until it knows them; non-members have random labels too."""
    labels = torch.randint(10, (len(digits),), generator=generator(8))
    noisy = Examples(digits.x, labels)
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(2)
        wide = nn.Sequential(nn.Flatten(), nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 10))
    return train(wide, noisy[:400], epochs=120), noisy[:400], noisy[400:900]


@pytest.mark.parametrize("attack", ATTACKS)
def test_positive_control_a_memorised_net_leaks(
    make_target: Callable[..., Target], memorised: tuple[nn.Module, Examples, Examples], attack: str
):
    model, members, nonmembers = memorised
    target = make_target(model, members=members, nonmembers=nonmembers)
    rows = list(run(target, TWO, generator()))
    assert pick(rows, "membership_auc", attack).value >= 0.95
    assert pick(rows, "membership_balanced_accuracy", attack).low >= 0.8


@pytest.mark.parametrize("attack", ATTACKS)
def test_null_control_an_untrained_net_does_not_leak(
    make_target: Callable[..., Target], fresh: Callable[[int], nn.Module], attack: str
):
    target = make_target(fresh(3).eval().requires_grad_(False))
    rows = list(run(target, TWO, generator()))
    found = pick(rows, "membership_auc", attack)
    assert found.n == (600 if attack == "loss" else 300)  # of each side
    assert found.low <= 0.5 <= found.high
    decided = pick(rows, "membership_balanced_accuracy", attack)
    assert decided.low <= 0.5 <= decided.high


@pytest.mark.parametrize(("attack", "repeats"), [(art_black_box, 20), (loss, 200)])
def test_random_outputs_are_covered_at_the_rate_promised(attack: Callable[..., object], repeats: int):
    """Outputs that know nothing of membership: 95% of intervals hold 0.5, and decisions are right half of
    the time. A threshold (or a forest) judged on the examples it was fitted to would show a leak here."""
    rng, count = np.random.default_rng(4), 60
    covered, decisions = np.zeros(2), []
    for repeat in range(repeats):
        evidence = Evidence(
            logits=rng.normal(size=(2 * count, 3)),
            y=rng.integers(0, 3, 2 * count),
            member=np.arange(2 * count) < count,
            known=np.arange(2 * count) % 2 == 0,
        )
        judged = attack(evidence, Settings(), generator(repeat))
        unseen = ~evidence.known
        found = balanced_accuracy(judged.decision[unseen], evidence.member[unseen])
        ranked = auc(judged.score[unseen], evidence.member[unseen])
        covered += np.array([found.low <= 0.5 <= found.high, ranked.low <= 0.5 <= ranked.high])
        decisions.append(found.value)
    assert covered.min() >= stats.binom(repeats, 0.95).ppf(0.01)
    assert abs(np.mean(decisions) - 0.5) < 4 * np.std(decisions) / np.sqrt(repeats)


# The loss threshold


@given(st.lists(st.floats(-30, 30), min_size=6, max_size=6), st.integers(0, 2))
def test_score_orders_as_the_loss_does(values: list[float], label: int):
    logits = np.array(values).reshape(2, 3)
    evidence = Evidence(logits, np.array([label, label]), np.array([True, False]), np.array([True, False]))
    evidence = replace(
        evidence, logits=np.tile(logits, (2, 1)), y=np.full(4, label),
        member=np.array([True, False] * 2), known=np.array([True, True, False, False]),
    )  # fmt: skip
    score = loss(evidence, Settings(), generator()).score[:2]
    minus_loss = torch.log_softmax(torch.tensor(logits), 1)[:, label].numpy()
    if abs(minus_loss[0] - minus_loss[1]) > 1e-12:
        assert (score[0] > score[1]) == (minus_loss[0] > minus_loss[1])


def test_confident_examples_do_not_tie():
    """Both probabilities round to 1 in float32, but one loss is e¹⁰ times the other."""
    logits = torch.zeros(600, 3)
    logits[:300, 0], logits[300:, 0] = 40.0, 30.0
    rows = list(run(tabled(logits, torch.zeros(600, dtype=torch.int64), 300), TWO, generator()))
    assert pick(rows, "membership_auc", "loss").value == 1.0


def test_figures_follow_from_the_outcomes(target: Target):
    rows = list(run(target, TWO, generator()))
    for attack in ATTACKS:
        found = pick(rows, "membership_auc", attack)
        score, member = found.outcomes["score"], found.outcomes["member"]
        assert score.dtype == np.float32
        assert found.value == pytest.approx(roc_auc_score(member, score), abs=1e-9)
        low = pick(rows, "membership_tpr", attack)
        if low.status == "ok":
            accused, inside = low.outcomes["accused"], low.outcomes["member"]
            assert low.value == accused[inside].mean()
            assert accused[~inside].mean() <= 0.01
        decided = pick(rows, "membership_balanced_accuracy", attack)
        decision = decided.outcomes["correct"] == decided.outcomes["member"]
        assert decided.value == pytest.approx(balanced_accuracy_score(decided.outcomes["member"], decision))


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=10), st.lists(st.integers(0, 6), min_size=1, max_size=10)
)
def test_best_threshold_is_best(inside: list[int], outside: list[int]):
    score = np.array(inside + outside, dtype=np.float64)
    member = np.arange(len(score)) < len(inside)

    def quality(threshold: float) -> float:
        return float(balanced_accuracy_score(member, score >= threshold))

    best = max(quality(t) for t in [-np.inf, np.inf, *np.unique(score)])
    assert quality(best_threshold(score, member)) == pytest.approx(best)


def test_threshold_never_comes_from_the_judged_half():
    """The known half separates at 0, the other at 100: by the known half's threshold it is half wrong."""
    score = np.array([-1.0, 1.0, 99.0, 101.0])
    member = np.array([False, True, False, True])
    evidence = Evidence(np.zeros((4, 2)), np.zeros(4, int), member, np.array([True, True, False, False]))
    assert threshold_decision(score, evidence).tolist() == [False, True, True, True]


def test_what_was_learnt_is_told_of_the_other_half_only(target: Target):
    """300 of 600 on each side; the loss is no one's to learn, so that its ranking speaks of all."""
    rows = list(run(target, TWO.model_copy(update={"fpr": (0.02,)}), generator()))
    counted = {(r.at["attack"], r.metric): (r.n, len(r.outcomes["member"])) for r in rows}
    assert {
        place[1]: found for place, found in counted.items() if place[0] == "art_black_box"
    } == dict.fromkeys(("membership_auc", "membership_balanced_accuracy", "membership_tpr"), (300, 600))
    assert counted["loss", "membership_balanced_accuracy"] == (300, 600)
    assert counted["loss", "membership_auc"] == counted["loss", "membership_tpr"] == (600, 1200)


def test_a_row_of_what_was_learnt_says_that_its_interval_lacks_that_luck(target: Target):
    for row in run(target, TWO.model_copy(update={"fpr": (0.1,)}), generator()):
        assert row.status == "ok"
        assert ("the interval lacks the luck" in row.note) is (row.at["attack"] != "loss")


def test_the_judged_examples_do_not_depend_on_the_seed(target: Target):
    """Models of several seeds are compared example by example."""
    first, second = (
        list(run(target, Settings(attacks=("loss",), attackers=()), generator(seed))) for seed in (0, 1)
    )
    for one, other in zip(first, second, strict=True):
        for key in one.outcomes or ():
            assert np.array_equal(one.outcomes[key], other.outcomes[key])


# Data that lacks something


def test_few_nonmembers_refuse_the_low_rate_only(target: Target):
    small = replace(target, nonmembers=target.nonmembers[:499])
    for row in run(small, TWO, generator()):
        if row.metric == "membership_tpr":
            assert (row.status, row.value) == ("refused", None)
            assert "at least 500 non-members" in row.note
            assert row.at["fpr"] == 0.01
        else:
            assert row.status == "ok"
            whole = (row.at["attack"], row.metric) == ("loss", "membership_auc")
            assert row.n == (499 if whole else 249)  # the smaller side's count


def test_enough_nonmembers_support_it(target: Target):
    """Of 600, 300 are judged by what was learnt: too few at 1%, enough at 2%."""
    for fpr, statuses in ((0.01, ["refused", "ok"]), (0.02, ["ok", "ok"])):
        rows = [
            r
            for r in run(target, TWO.model_copy(update={"fpr": (fpr,)}), generator())
            if r.metric == "membership_tpr"
        ]
        assert [r.status for r in rows] == statuses


def test_cap_on_examples(target: Target):
    assert {
        r.n for r in run(target, TWO.model_copy(update={"examples": 50, "fpr": (0.2,)}), generator())
    } == {50, 25}


def test_unknown_members_are_not_applicable(target: Target):
    for change in ({"members": None}, {"nonmembers": None}):
        rows = list(run(replace(target, **change), TWO, generator()))
        assert len(rows) == 6
        assert {r.status for r in rows} == {"not_applicable"}
        assert all("are not known" in r.note for r in rows)


def test_too_few_examples_are_refused(target: Target):
    rows = run(replace(target, members=target.members[:3]), TWO, generator())
    assert {r.status for r in rows} == {"refused"}


def test_overlapping_splits_are_refused_with_the_count_and_the_first_indices(target: Target):
    x, y = target.nonmembers.x.clone(), target.nonmembers.y
    x[[3, 8]] = target.members.x[[0, 5]]
    rows = run(replace(target, nonmembers=Examples(x, y)), TWO, generator())
    assert {row.status for row in rows} == {"refused"}
    assert all("2 of 600 non-members" in row.note and "the first: 3, 8" in row.note for row in rows)


def test_a_collapsed_model_leaks_nothing_and_warns_of_nothing():
    data = torch.randn(1200, 4, generator=generator(3))
    flat = replace(tabled(data, torch.arange(1200) % 4, 600), model=Flat())
    rows = list(run(flat, TWO, generator()))
    found = pick(rows, "membership_auc", "loss")
    assert (found.value, found.status) == (0.5, "ok")
    assert found.low < 0.5 < found.high


def test_two_classes():
    logits = torch.randn(1200, 2, generator=generator(1))
    y = torch.arange(1200) % 2
    logits[torch.arange(600), y[:600]] += 1
    rows = list(run(tabled(logits, y, 600), TWO, generator()))
    truth = stats.norm.cdf(1 / 2)  # the logit gap is N(1, 2) for members, N(0, 2) for others
    found = pick(rows, "membership_auc", "loss")
    assert found.low <= truth <= found.high
    assert pick(rows, "membership_auc", "art_black_box").low > 0.5


@pytest.mark.parametrize("model", ["rf", "gb"])
def test_attack_models(target: Target, model: str):
    rows = list(
        run(
            target,
            Settings(attacks=("art_black_box",), attackers=(), attack_model=model, fpr=0.02),
            generator(),
        )
    )
    assert all(r.status == "ok" for r in rows)


def test_unknown_attack_names_the_known_ones():
    with pytest.raises(ValueError, match="no such attack: lira; there are: art_black_box, augmented"):
        Settings(attacks=("lira",))
