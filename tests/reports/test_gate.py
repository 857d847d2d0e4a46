"""The gate on one figure: every combination of interval, limit and status, seeds, conditions, doubts."""

from collections.abc import Callable
from datetime import date
from itertools import combinations, product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from reports.gate import Decision, Verdicts, judge, three_way
from reports.policy import Policy, Rule, Waiver
from reports.results import Results

Made = Callable[..., Results]
A = "m@0.5"


def policy(*waivers: Waiver, **rule: Any) -> Policy:
    table = {"id": "r", "metric": "robust_accuracy", "at": {"eps": 0.1, "attack": "worst_case"}, **rule}
    return Policy((Rule.model_validate(table),), waivers)


@pytest.fixture
def made(tmp_path: Path, runs: ModuleType) -> Made:
    count = iter(range(1000))

    def make(*rows: Any, **more: Any) -> Results:
        return runs.made(tmp_path / str(next(count)), rows, **more)  # type: ignore[no-any-return]

    return make


def one(verdicts: Verdicts, variant: str = A) -> Decision:
    (found,) = verdicts.of(variant).decisions
    return found


TABLE = [  # low, high, at least 0.4, at most 0.4
    (0.41, 0.50, "pass", "fail"),
    (0.40, 0.50, "pass", "inconclusive"),
    (0.39, 0.50, "inconclusive", "inconclusive"),
    (0.30, 0.41, "inconclusive", "inconclusive"),
    (0.30, 0.40, "inconclusive", "pass"),
    (0.30, 0.39, "fail", "pass"),
    (0.40, 0.40, "pass", "pass"),
    (float("nan"), float("nan"), "inconclusive", "inconclusive"),
]


@pytest.mark.parametrize(("low", "high", "at_least", "at_most"), TABLE)
def test_three_ways(low: float, high: float, at_least: str, at_most: str) -> None:
    assert three_way(low, high, 0.4, upper=False) == at_least
    assert three_way(low, high, 0.4, upper=True) == at_most


INTERVALS = {"above": (0.45, 0.55), "across": (0.35, 0.45), "below": (0.25, 0.35), "none": (None, None)}
LACKING = {"failed": "not_run", "refused": "inconclusive", "not_applicable": "not_run", "new": "not_run"}
"""A rule that could be applied to nothing has not been run."""


@pytest.mark.parametrize(
    ("interval", "enough", "kind"), [*product(INTERVALS, (True, False, None), ("min", "max"))]
)
def test_every_interval_by_every_n(
    made: Made, runs: ModuleType, interval: str, enough: bool | None, kind: str
) -> None:
    """``min_n`` is met, missed or not known; and the same for a limit from either side."""
    low, high = INTERVALS[interval]
    metric = "robust_accuracy" if kind == "min" else "extraction_fidelity"
    n = {True: 500, False: 499, None: None}[enough]
    value = 0.5 if low is None or high is None else (low + high) / 2
    results = made(runs.row(A, metric, value, low, high, n=n), runs.clean(A))
    decision = one(judge(results, policy(metric=metric, min_n=500, **{kind: 0.4})))
    expected = {"above": "pass", "below": "fail"}.get(interval, "inconclusive")
    if kind == "max":
        expected = {"pass": "fail", "fail": "pass"}.get(expected, expected)
    assert decision.status == (expected if enough else "inconclusive")
    assert (decision.value, decision.low, decision.high, decision.n) == (value, low, high, n)


@pytest.mark.parametrize("status", LACKING)
def test_every_status_without_a_figure(made: Made, runs: ModuleType, status: str) -> None:
    results = made(
        runs.row(A, "robust_accuracy", n=None, status=status, note="why not", at={}), runs.clean(A)
    )
    verdicts = judge(results, policy(min=0.4))
    assert one(verdicts).status == LACKING[status]
    assert "why not" in one(verdicts).reason
    assert verdicts.exit_code == {"not_run": 4, "inconclusive": 3}[LACKING[status]]


@pytest.mark.parametrize(("interval", "status"), [*product(("above", "across", "below"), LACKING)])
def test_a_figure_beside_a_seed_without_one(made: Made, runs: ModuleType, interval: str, status: str) -> None:
    """One seed's failure is one; no seed's pass makes up for another that is not there."""
    low, high = INTERVALS[interval]
    results = made(
        runs.row(A, "robust_accuracy", (low + high) / 2, low, high), runs.clean(A), runs.clean(A, seed=1),
        runs.row(A, "robust_accuracy", n=None, status=status, seed=1, at={}),
    )  # fmt: skip
    expected = {"refused": "inconclusive", "not_applicable": "inconclusive"}.get(status, "not_run")
    assert one(judge(results, policy(min=0.4))).status == ("fail" if interval == "below" else expected)


def test_a_seed_that_was_made_and_never_measured_is_missing(made: Made, runs: ModuleType) -> None:
    rows = [runs.row(A, "robust_accuracy", 0.5, 0.45, 0.55), runs.clean(A)]
    assert one(judge(made(*rows), policy(min=0.4))).status == "pass"
    short = one(judge(made(*rows, variants=[(A, 0), (A, 1)]), policy(min=0.4)))
    assert (short.status, short.reason.endswith("seed 1 has no row")) == ("not_run", True)


def test_one_measurement_across_the_limit_flips_the_verdict(made: Made, runs: ModuleType) -> None:
    """Nine good figures and one that moves: the verdict follows it, whichever it is."""
    names = [f"m@{share}" for share in (0.5, 0.75, 0.9)]
    for moved in product(names, (0, 1, 2)):
        statuses = []
        for shift in (0.0, -0.1, -0.2):
            rows = []
            for name, seed in product(names, (0, 1, 2)):
                by = shift if (name, seed) == moved else 0.0
                figure = [0.5 + by, 0.45 + by, 0.55 + by]
                rows += [runs.row(name, "robust_accuracy", *figure, seed=seed), runs.clean(name, seed=seed)]
            verdicts = judge(made(*rows), policy(min=0.4))
            statuses.append(verdicts.status)
            others = {verdicts.of(name).status for name in names if name != moved[0]}
            assert others == {"pass"}
        assert statuses == ["pass", "inconclusive", "fail"]


def test_the_worst_seed_decides(made: Made, runs: ModuleType) -> None:
    rows = [
        runs.row(A, "robust_accuracy", v, v - 0.02, v + 0.03, seed=s, n=500 - s)
        for s, v in enumerate((0.6, 0.3, 0.5))
    ]
    decision = one(judge(made(*rows, *[runs.clean(A, seed=s) for s in range(3)]), policy(min=0.4)))
    assert (decision.status, decision.value, decision.seeds, decision.n) == ("fail", 0.3, 3, 498)
    assert (decision.low, decision.high) == pytest.approx((0.28, 0.33))
    assert decision.reason.startswith("worst of 3 seeds 30.0% (28.0–33.0%), n = 498, where at least 40.0%")


def test_the_interval_of_the_worst_holds_the_worst(made: Made, runs: ModuleType) -> None:
    """By simulation: seeds at the limit or above pass for no good reason, or fail for none, at most as often
    as the docs say (2.5% to pass wrongly, 2.5% a seed to fail wrongly)."""
    from reports.gate_rows import Reading, worst

    rng, n, limit = np.random.default_rng(3), 400, 0.5

    def share(truths: tuple[float, ...], status: str, trials: int = 1500) -> float:
        found = 0
        for _ in range(trials):
            readings = []
            for seed, p in enumerate(rng.binomial(n, truths) / n):
                centre = (p + 1.92 / n) / (1 + 3.84 / n)
                half = 1.96 * np.sqrt(p * (1 - p) / n + 0.96 / n**2) / (1 + 3.84 / n)
                readings.append(Reading(seed, {}, p, centre - half, centre + half, n))
            reading = worst(readings, upper=False)
            found += three_way(reading.low, reading.high, limit, upper=False) == status
        return found / trials

    noise = 3 * np.sqrt(0.025 / 1500)
    assert share((0.4999, 0.8, 0.8), "pass") < 0.025 + noise
    assert share((0.5, 0.5, 0.5), "fail") < 0.075 + 2 * noise
    assert share((0.5, 0.5, 0.5), "fail") > 0.02  # and the check can tell: three seeds err more than one


@pytest.mark.parametrize(("seeds", "expected"), [(2, "inconclusive"), (3, "pass")])
def test_a_rule_may_ask_for_seeds(made: Made, runs: ModuleType, seeds: int, expected: str) -> None:
    rows = [runs.row(A, "robust_accuracy", 0.5, 0.45, 0.55, seed=s) for s in range(seeds)]
    results = made(*rows, *[runs.clean(A, seed=s) for s in range(seeds)])
    assert one(judge(results, policy(min=0.4, min_seeds=3))).status == expected


def test_conditions_pick_by_subset_and_the_worst_row_decides(made: Made, runs: ModuleType) -> None:
    rows = [
        runs.row(A, "robust_accuracy", v, v - 0.05, v + 0.05, at={"norm": "linf", "eps": e, "attack": a})
        for e, a, v in ((8 / 255, "pgd", 0.7), (8 / 255, "worst_case", 0.6), (0.1, "worst_case", 0.2))
    ]
    results = made(*rows, runs.clean(A))

    def status(at: dict[str, Any]) -> tuple[str, float | None]:
        decision = one(judge(results, policy(min=0.4, at=at)))
        return decision.status, decision.value

    assert status({}) == ("fail", 0.2)
    assert status({"eps": "8/255"}) == ("pass", 0.6)
    assert status({"eps": 8 / 255 * (1 + 1e-12), "attack": "pgd"}) == ("pass", 0.7)
    assert status({"attack": "worst_case"}) == ("fail", 0.2)
    decision = one(judge(results, policy(min=0.4, at={"eps": 0.3, "attack": "worst_case"})))
    assert (decision.status, decision.value) == ("not_run", None)
    assert "eps: 0.0313725490196" in decision.reason
    assert decision.reason.endswith(", 0.1")
    other = one(judge(results, policy(metric="tampering_accuracy", min=0.4, at={})))
    assert other.status == "not_run"
    assert other.reason == "tampering_accuracy was not measured; this run has accuracy and robust_accuracy"


def test_rules_are_for_all_but_the_controls_unless_named(made: Made, runs: ModuleType) -> None:
    names = ["dense", "dense-finetuned", "a@0.5", "b[1]@0.5"]
    rows = [
        r for name in names for r in (runs.row(name, "robust_accuracy", 0.5, 0.45, 0.55), runs.clean(name))
    ]
    results = made(*rows, controls=["dense-finetuned"])

    def judged(*patterns: str) -> list[str]:
        chosen = {"variants": patterns} if patterns else {}
        return [d.variant for d in judge(results, policy(min=0.4, **chosen)).decisions]

    assert judged() == ["dense", "a@0.5", "b[1]@0.5"]
    assert judged("dense*") == ["dense"]
    assert judged("dense-finetuned", "a@*") == ["dense-finetuned", "a@0.5"]
    assert judged("b[1]@0.5") == ["b[1]@0.5"]
    verdicts = judge(results, policy(min=0.4, variants=["edge-*"]))
    assert (verdicts.status, verdicts.decisions[0].variant) == ("not_run", "edge-*")


@pytest.mark.parametrize("metric", ["robust_accuracy", "membership_auc", "extraction_fidelity"])
@pytest.mark.parametrize(
    ("accuracy", "expected"), [(0.95, "pass"), (0.12, "inconclusive"), (None, "inconclusive")]
)
def test_a_model_near_chance_cannot_pass(
    made: Made, runs: ModuleType, metric: str, accuracy: float | None, expected: str
) -> None:
    """Nor one whose clean accuracy is not known."""
    limit = {"min": 0.05} if metric == "robust_accuracy" else {"max": 0.6}
    rows = [runs.row(A, metric, 0.1, 0.08, 0.12)]
    if accuracy is not None:
        rows.append(runs.clean(A, accuracy))
    decision = one(judge(made(*rows), policy(metric=metric, **limit)))
    assert decision.status == expected
    assert ("collapsed" in decision.reason) == (expected != "pass")


def test_a_collapsed_model_still_fails_and_its_accuracy_and_size_speak(made: Made, runs: ModuleType) -> None:
    results = made(
        runs.row(A, "robust_accuracy", 0.1, 0.08, 0.12), runs.clean(A, 0.12),
        runs.row(A, "bytes", 900.0, 900.0, 900.0, probe="cost", at={}, n=1),
    )  # fmt: skip
    assert one(judge(results, policy(min=0.4))).status == "fail"
    assert one(judge(results, policy(metric="bytes", max=1000.0, at={}))).status == "pass"
    assert one(judge(results, policy(metric="accuracy", min=0.05, at={}))).status == "pass"


@pytest.mark.parametrize(
    ("value", "norm", "status", "expected"),
    [
        (0.2, "linf", "ok", "inconclusive"), (0.1, "linf", "ok", "pass"), (0.2, "l2", "ok", "pass"),
        (None, "linf", "failed", "inconclusive"),
    ],
)  # fmt: skip
def test_raised_attack_health_keeps_a_robust_figure_from_passing(
    made: Made, runs: ModuleType, value: float | None, norm: str, status: str, expected: str
) -> None:
    at = {"flag": "zero_gradient", "norm": norm, "limit": 0.1}
    interval = (value, value, value) if value is not None else (None, None, None)
    health = runs.row(A, "attack_health", *interval, at=at, status=status)
    good = made(runs.row(A, "robust_accuracy", 0.5, 0.45, 0.55), runs.clean(A), health)
    assert one(judge(good, policy(min=0.4))).status == expected
    bad = made(runs.row(A, "robust_accuracy", 0.3, 0.25, 0.35), runs.clean(A), health)
    assert one(judge(bad, policy(min=0.4))).status == "fail"


def test_waivers_last_to_the_day_and_say_what_they_do_not_do(made: Made, runs: ModuleType) -> None:
    results = made(runs.row(A, "robust_accuracy", 0.3, 0.25, 0.35), runs.clean(A))
    day = date(2027, 3, 1)

    def waived(today: date, **change: Any) -> Verdicts:
        waiver = Waiver(**{"rule": "r", "variant": "m@*", "expires": day, "reason": "not shipped", **change})
        return judge(results, policy(waiver, min=0.4), today=today)

    verdicts = waived(day)
    assert (verdicts.status, verdicts.remarks) == ("pass", ())
    decision = one(verdicts)
    assert (decision.status, decision.judged, decision.value) == ("waived", "fail", 0.3)
    assert decision.waiver is not None
    late = waived(date(2027, 3, 2))
    assert (late.status, one(late).waiver) == ("fail", None)
    assert late.remarks == ("the waiver of r for m@* expired on 2027-03-01 and waives nothing",)
    for change in ({"rule": "other"}, {"variant": "n@*"}):
        assert waived(day, **change).status == "fail"
        assert "matches nothing" in waived(day, **change).remarks[0]
    fine = judge(results, policy(Waiver(rule="r", variant=A, expires=day, reason="x"), min=0.2), today=day)
    assert (fine.status, one(fine).status) == ("pass", "pass")
    assert fine.remarks == (f"the waiver of r for {A} is not needed",)


STATES = ("pass", "fail", "inconclusive", "not_run", "not_applicable", "waived")


@pytest.mark.parametrize("found", [set(c) for k in range(4) for c in combinations(STATES, k)])
def test_what_comes_first_in_the_verdict(found: set[Any]) -> None:
    """Failure before what is missing before doubt; nothing judged is not a pass."""
    rule = policy(min=0.4).rules[0]
    verdicts = Verdicts(policy(min=0.4), tuple(Decision(rule, "v", status, "") for status in found))
    if "fail" in found:
        expected = ("fail", 1)
    elif "not_run" in found or not found - {"not_applicable"}:
        expected = ("not_run", 4)
    elif "inconclusive" in found:
        expected = ("inconclusive", 3)
    else:
        expected = ("pass", 0)
    assert (verdicts.status, verdicts.exit_code) == expected


def test_a_run_that_is_not_finished_does_not_pass(made: Made, runs: ModuleType) -> None:
    rows = [runs.row(A, "robust_accuracy", 0.5, 0.45, 0.55), runs.clean(A)]
    assert judge(made(*rows), policy(min=0.4)).exit_code == 0
    assert judge(made(*rows, waiting=1), policy(min=0.4)).exit_code == 4
    bad = [runs.row(A, "robust_accuracy", 0.3, 0.25, 0.35), runs.clean(A)]
    assert judge(made(*bad, waiting=1), policy(min=0.4)).exit_code == 1
    assert judge(made(variants=[]), policy(min=0.4)).exit_code == 4


def test_a_model_that_could_not_be_made_is_judged_by_its_failed_rows(made: Made, runs: ModuleType) -> None:
    bad = runs.row("m@0.9", "robust_accuracy", n=None, status="failed", note="no model", at={})
    rows = [runs.row(A, "robust_accuracy", 0.5, 0.45, 0.55), runs.clean(A), bad]
    verdicts = judge(made(*rows, variants=[(A, 0)]), policy(min=0.4))
    assert (one(verdicts).status, one(verdicts, "m@0.9").status) == ("pass", "not_run")
    assert verdicts.exit_code == 4
