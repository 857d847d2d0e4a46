"""Rules on a change: pairs, margins, Holm, references missing or in doubt; how often a decision errs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from reports.data.results import Results
from reports.gate import change as gate_change
from reports.gate.judge import Decision, judge, three_way
from reports.gate.policy import Policy, Rule
from reports.gate.rows import Reading, worst
from reports.stats import paired

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
    """Against Agresti and Min's interval written out anew; the unpaired one would straddle the margin."""
    results = made(runs.hits("dense", losing(0)), runs.hits(A, losing(20)))
    decision = one(results, policy(max_drop=0.04))
    lost, m = 20, N + 2
    centre, spread = lost / m, np.sqrt((lost + 1) - lost**2 / m) / m
    z = stats.norm.ppf(0.975)
    assert (decision.value, decision.n) == (pytest.approx(0.02), N)
    assert (decision.low, decision.high) == pytest.approx((centre - z * spread, centre + z * spread))
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
    expected = paired.auc(loud.astype(float), quiet.astype(float), member)
    assert (leaks.status, leaks.value) == ("fail", pytest.approx(expected.value))
    assert (leaks.low, leaks.high) == pytest.approx((expected.low, expected.high))
    assert one(made(figure("dense", loud), figure(A, quiet)), rule).status == "pass"
    assert one(made(figure("dense", quiet), figure(A, quiet)), rule).status == "pass"


def test_many_variants_need_more_to_be_told_apart(made: Made, runs: ModuleType) -> None:
    """A borderline failure alone fails; among twenty variants without a difference it does not (Holm)."""
    edge = runs.hits(A, losing(34))
    alone = one(made(runs.hits("dense", losing(0)), edge), policy(max_drop=0.02))
    assert alone.status == "fail"
    quiet = [runs.hits(f"m@0.{i:02}", losing(20)) for i in range(10, 30)]
    lone = one(made(runs.hits("dense", losing(0)), edge, *quiet), policy(max_drop=0.02))
    assert (lone.status, lone.low) == ("inconclusive", alone.low)
    assert "(Holm)" in lone.reason


def test_wrong_failures_among_many_variants_stay_rare() -> None:
    """By simulation: ten variants, each exactly at the margin, on fresh examples each time."""
    rng, rule, old = np.random.default_rng(5), policy(max_drop=0.2).rules[0], np.ones(300, bool)
    corrected = plain = 0
    for _ in range(400):
        readings = []
        for _ in range(10):
            d = paired.rate(rng.random(300) >= 0.2, old)
            readings.append(Reading(0, {}, -d.value, -d.high, -d.low, d.n, d.variance**0.5))
        corrected += min(paired.holm([gate_change._broken(rule, [r]) for r in readings])) < gate_change.TAIL
        plain += any(r.low > rule.limit for r in readings)
    assert plain / 400 > 0.1  # so often such a run would fail without the correction
    assert corrected / 400 < 0.025 + 3 * np.sqrt(0.025 / 400)


def test_the_interval_of_the_worst_seed_holds_it() -> None:
    """By simulation: wrong passes stay at 2.5%, wrong failures at 2.5% a seed, as the documents say."""
    rng, n, limit = np.random.default_rng(3), 400, 0.5

    def share(truths: tuple[float, ...], status: str, trials: int = 1500) -> float:
        found = 0
        for _ in range(trials):
            readings = []
            for seed, p in enumerate(rng.binomial(n, truths) / n):  # Wilson's interval, written out
                centre = (p + 1.92 / n) / (1 + 3.84 / n)
                half = 1.96 * np.sqrt(p * (1 - p) / n + 0.96 / n**2) / (1 + 3.84 / n)
                readings.append(Reading(seed, {}, p, centre - half, centre + half, n))
            reading = worst(readings, upper=False)
            found += three_way(reading.low, reading.high, limit, upper=False) == status
        return found / trials

    noise = 3 * np.sqrt(0.025 / 1500)
    assert share((0.4999, 0.8, 0.8), "pass") < 0.025 + noise
    assert 0.02 < share((0.5, 0.5, 0.5), "fail") < 0.075 + 2 * noise


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
