"""Rules on a change: pairs, margins, Holm, references missing or in doubt; how often a decision errs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from reports.data.results import Results
from reports.gate.judge import Decision, judge
from reports.gate.policy import Policy, Rule
from reports.stats.cluster import these_models
from reports.stats.compare import breaks, compare_all, keeps, worst_span
from reports.stats.delong import auc_difference
from reports.stats.difference import TAIL
from reports.stats.holm import holm
from reports.stats.paired import counted, rate_difference

Made = Callable[..., Results]
A = "m@0.5"
N = 1000


def policy(**rule: Any) -> Policy:
    table = {"id": "r", "metric": "robust_accuracy", "at": {"attack": "worst_case"}, **rule}
    return Policy((Rule.model_validate(table),))


@pytest.fixture
def made(tmp_path: Path, runs: ModuleType) -> Made:
    count = iter(range(1000))

    def make(*rows: Any, **more: Any) -> Results:
        names = {(r.variant, r.seed) for r in rows}
        sure = [runs.clean(name, seed=seed) for name, seed in sorted(names)]
        return runs.made(tmp_path / str(next(count)), [*rows, *sure], **more)  # type: ignore[no-any-return]

    return make


def one(results: Results, chosen: Policy, variant: str = A, baseline: Results | None = None) -> Decision:
    (found,) = judge(results, chosen, baseline).of(variant).decisions
    return found


def losing(count: int, base: int = 800) -> NDArray[np.bool_]:
    """Of ``base`` right examples ``count`` are lost; nothing is gained."""
    correct = np.arange(N) < base
    correct[:count] = False
    return correct


def test_a_drop_is_that_of_the_pairs(made: Made, runs: ModuleType) -> None:
    """The interval is Tango's, tested by itself; the unpaired one would straddle the margin."""
    results = made(runs.hits("dense", losing(0)), runs.hits(A, losing(20)))
    decision = one(results, policy(max_drop=0.04))
    pairs = counted(0, 20, N, np.zeros(N))
    assert (decision.value, decision.n) == (pytest.approx(0.02), N)
    assert (decision.low, decision.high) == pytest.approx((-pairs.high, -pairs.low))
    assert decision.status == "pass"
    assert decision.change is not None
    assert decision.change.pooled.value == pytest.approx(-0.02)
    unpaired = 1.96 * np.sqrt(2 * 0.16 / N)
    assert decision.value + unpaired > 0.04


@pytest.mark.parametrize(
    ("lost", "margin", "expected"),
    [
        (0, 0.01, "pass"), (20, 0.04, "pass"), (20, 0.02, "inconclusive"), (60, 0.02, "fail"),
        (0, 0.0, "inconclusive"),  # no pair differs, and yet a drop of nothing is not shown
    ],
)  # fmt: skip
def test_the_whole_interval_against_the_margin(
    made: Made, runs: ModuleType, lost: int, margin: float, expected: str
) -> None:
    results = made(runs.hits("dense", losing(0)), runs.hits(A, losing(lost)))
    assert one(results, policy(max_drop=margin)).status == expected
    dense = one(results, policy(max_drop=margin), "dense")
    assert dense.status == "not_applicable"


def test_the_worst_pair_of_seeds_decides(made: Made, runs: ModuleType) -> None:
    rows = [runs.hits("dense", losing(0), seed=s) for s in (0, 1)]
    rows += [runs.hits(A, losing(k), seed=s) for s, k in enumerate((5, 80))]
    decision = one(made(*rows), policy(max_drop=0.05))
    assert (decision.status, decision.value, decision.seeds) == ("fail", pytest.approx(0.08), 2)
    assert decision.reason.startswith("worst of 2 seeds drop +8.0 points (")


def test_a_rise_of_leakage(made: Made, runs: ModuleType) -> None:
    rng = np.random.default_rng(0)
    member = np.arange(2000) < 1000
    quiet = rng.normal(size=2000).astype(np.float32)
    loud = (quiet + 0.8 * member).astype(np.float32)
    at = {"attack": "loss"}

    def figure(variant: str, score: NDArray[np.float32]) -> Any:
        outcomes = {"score": score, "member": member}
        return runs.row(variant, "membership_auc", 0.5, 0.4, 0.9, at=at, outcomes=outcomes, n=2000)

    rule = policy(metric="membership_auc", at={}, max_rise=0.05)
    leaks = one(made(figure("dense", quiet), figure(A, loud)), rule)
    expected = auc_difference(loud.astype(float), quiet.astype(float), member)
    assert (leaks.status, leaks.value) == ("fail", pytest.approx(expected.value))
    assert (leaks.low, leaks.high) == pytest.approx((expected.low, expected.high))
    assert one(made(figure("dense", loud), figure(A, quiet)), rule).status == "pass"
    assert one(made(figure("dense", quiet), figure(A, quiet)), rule).status == "pass"


def test_many_variants_need_more_to_be_told_apart(made: Made, runs: ModuleType) -> None:
    """A borderline failure alone fails; among twenty variants without a difference it does not (Holm)."""
    edge = runs.hits(A, losing(32))
    alone = one(made(runs.hits("dense", losing(0)), edge), policy(max_drop=0.02))
    assert alone.status == "fail"
    quiet = [runs.hits(f"m@0.{i:02}", losing(20)) for i in range(10, 30)]
    lone = one(made(runs.hits("dense", losing(0)), edge, *quiet), policy(max_drop=0.02))
    assert (lone.status, lone.low) == ("inconclusive", alone.low)
    assert "(Holm)" in lone.reason


def test_wrong_failures_among_many_variants_stay_rare() -> None:
    """By simulation: ten variants, each exactly at the margin, on fresh examples each time."""
    rng, old = np.random.default_rng(5), np.ones(300, bool)
    corrected = plain = 0
    for _ in range(400):
        each = [rate_difference(rng.random(300) >= 0.2, old) for _ in range(10)]
        p = [breaks([d], d, 0.2, rise=False) for d in each]
        corrected += min(holm(p)) < TAIL
        plain += min(p) < TAIL
    assert plain / 400 > 0.1  # so often such a run would fail without the correction
    assert corrected / 400 < 0.025 + 3 * np.sqrt(0.025 / 400)


def test_what_fails_is_worse_wherever_it_is_said(made: Made, runs: ModuleType) -> None:
    """Random runs: no (rule, variant) fails whose comparison with dense says that nothing differs."""
    rng, failed, told = np.random.default_rng(0), 0, 0
    for _ in range(25):
        rows = [runs.hits("dense", rng.random(300) < 0.8, seed=s) for s in (0, 1, 2)]
        dense = [np.asarray(row.outcomes["correct"]) for row in rows]
        for name in ("m@0.5", "m@0.9", "k@0.5"):
            drops = rng.choice([0.0, 0.02, 0.08], 3)
            rows += [runs.hits(name, dense[s] & (rng.random(300) > drops[s]), seed=s) for s in (0, 1, 2)]
        results = made(*rows)
        narrow = {"metric": "robust_accuracy", "variants": ["m@0.9"], "max_drop": 0.01, "seed": 2}
        rules = [{"max_drop": m} for m in (0.0, 0.01, 0.05)] + [narrow]
        for keys in rules:
            for decision in judge(results, policy(**keys)).decisions:
                if decision.variant == "dense":
                    continue
                table = compare_all(results, [decision.variant], "robust_accuracy", runs.ROBUST)
                direction = table[decision.variant].direction
                failed += decision.status == "fail"
                told += direction == "worse"
                assert decision.status != "fail" or direction == "worse"
                assert decision.change is table[decision.variant]
    assert failed > 10
    assert told > failed


def test_one_bad_seed_is_told_though_the_mean_shows_nothing(made: Made, runs: ModuleType) -> None:
    rows = [runs.hits("dense", losing(0), seed=s) for s in (0, 1, 2)]
    gained = np.arange(N) < 825
    rows += [runs.hits(A, kept, seed=s) for s, kept in enumerate((losing(50), gained, gained))]
    decision = one(made(*rows), policy(max_drop=0.02))
    assert decision.change is not None
    assert decision.change.pooled.low <= 0 <= decision.change.pooled.high
    assert (decision.status, decision.change.direction) == ("fail", "worse")


def test_three_seeds_that_all_fall_a_little_fail_together(made: Made, runs: ModuleType) -> None:
    """The mean of the models is tested too: each alone would leave it open."""
    rows = [runs.hits("dense", losing(0), seed=s) for s in (0, 1, 2)]
    falls = [losing(0) & ~np.isin(np.arange(N), range(s * 30, s * 30 + 28)) for s in range(3)]
    each = policy(max_drop=0.02)
    single = [one(made(rows[0], runs.hits(A, kept)), each).status for kept in falls]
    assert set(single) == {"inconclusive"}
    together = one(made(*rows, *(runs.hits(A, k, seed=s) for s, k in enumerate(falls))), each)
    assert together.status == "fail", together.reason


def test_a_pass_needs_every_seed(made: Made, runs: ModuleType) -> None:
    """By simulation: one seed of three lies at the margin, the others are good."""
    rng, passed, repeats = np.random.default_rng(3), 0, 2000
    old = np.ones(400, bool)
    for _ in range(repeats):
        each = [rate_difference(rng.random(400) >= drop, old) for drop in (0.05, 0.0, 0.0)]
        passed += keeps(each, 0.05, rise=False) <= TAIL
    assert passed / repeats < 0.025 + 3 * np.sqrt(0.025 / repeats)


def test_the_interval_of_the_worst_seed_holds_it() -> None:
    """By simulation: the worst of three models that fall by 5 points lies outside at most 5% of the time."""
    rng, repeats, missed = np.random.default_rng(3), 1000, 0
    old = np.ones(400, bool)
    for _ in range(repeats):
        each = [rate_difference(rng.random(400) >= 0.05, old) for _ in range(3)]
        low, high = worst_span(each, these_models(each), rise=False)
        missed += not low <= 0.05 <= high
    assert missed / repeats < 0.05 + 3 * np.sqrt(0.05 / repeats)


def test_what_cannot_be_compared_is_not_passed(made: Made, runs: ModuleType) -> None:
    figure = runs.hits(A, losing(0))
    rule = policy(max_drop=0.05)
    alone = one(made(figure), rule)
    assert (alone.status, alone.reason) == ("not_run", "dense has no figure to compare seed 0 with")
    bare = runs.row("dense", "robust_accuracy", 0.8, 0.78, 0.82, n=N)
    assert one(made(bare, figure), rule).status == "inconclusive"
    short = runs.hits("dense", losing(0)[:-1])
    assert "no evidence that pairs" in one(made(short, figure), rule).reason
    crashed = runs.row("dense", "robust_accuracy", n=None, status="failed", at={})
    assert one(made(crashed, figure), rule).status == "not_run"
    two = made(runs.hits("dense", losing(0)), runs.hits("dense", losing(0), seed=1), figure,
               runs.hits(A, losing(0), seed=2))  # fmt: skip
    assert "seed 2" in one(two, rule).reason


def test_counts_are_compared_without_pairs(made: Made, runs: ModuleType) -> None:
    def size(variant: str, value: float) -> Any:
        return runs.row(variant, "bytes", value, value, value, at={}, n=1, probe="cost")

    results = made(size("dense", 1000.0), size(A, 1100.0))
    for margin, expected in ((100.0, "pass"), (99.0, "fail")):
        decision = one(results, policy(metric="bytes", at={}, max_rise=margin))
        assert (decision.status, decision.value) == (expected, 100.0)


def flag(runs: ModuleType, variant: str) -> Any:
    at = {"flag": "zero_gradient", "norm": "linf", "limit": 0.1}
    return runs.row(variant, "attack_health", 0.9, 0.8, 1.0, at=at)


@pytest.mark.parametrize(("lost", "plain"), [(0, "pass"), (90, "fail")])
def test_a_reference_in_doubt_decides_nothing(made: Made, runs: ModuleType, lost: int, plain: str) -> None:
    """A dense model that only hides its gradients makes a drop of nothing."""
    rows = [runs.hits("dense", losing(0)), runs.hits(A, losing(lost))]
    rule = policy(max_drop=0.05)
    assert one(made(*rows), rule).status == plain
    doubted = one(made(*rows, flag(runs, "dense")), rule)
    assert doubted.status == "inconclusive"
    assert "dense itself is in doubt: attack health raised" in doubted.reason
    own = one(made(*rows, flag(runs, A)), rule)
    assert own.status == ("fail" if plain == "fail" else "inconclusive")


def baselines(made: Made, runs: ModuleType, before: Mapping[str, int], now: Mapping[str, int]) -> Any:
    old = made(*[runs.hits(name, losing(k)) for name, k in before.items()])
    new = made(*[runs.hits(name, losing(k)) for name, k in now.items()])
    return new, old


def test_against_a_baseline_each_variant_meets_its_namesake(made: Made, runs: ModuleType) -> None:
    rule = policy(max_drop=0.05, against="baseline")
    new, old = baselines(made, runs, {"dense": 0, A: 100}, {"dense": 100, A: 100, "m@0.9": 0})
    assert one(new, rule, A, old).status == "pass"
    dense = one(new, rule, "dense", old)
    assert (dense.status, dense.value) == ("fail", pytest.approx(0.1))
    assert dense.change is not None
    assert dense.reason.endswith("a drop of at most 5.0 points against baseline is allowed")
    unknown = one(new, rule, "m@0.9", old)
    assert (unknown.status, unknown.reason) == ("not_run", "m@0.9 has no figure to compare seed 0 with")
    without = judge(new, rule)
    assert (without.exit_code, {d.status for d in without.decisions}) == (4, {"not_run"})
    assert "--baseline" in without.decisions[0].reason
