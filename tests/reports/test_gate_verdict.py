"""The gate beyond one figure: doubts, waivers, what comes first, what is missing, presets."""

from datetime import date
from typing import Any

import pytest
from gate_lab_run import TODAY, Make, N, clean, only, policy, robust, row, rule, verdicts

from reports.data.ledger import MeasurementRow
from reports.data.results import Results
from reports.gate.judge import judge
from reports.gate.policy import Waiver, find, presets


def flag(value: float | None, norm: str = "linf", status: str = "ok") -> MeasurementRow:
    at = {"flag": "zero_gradients", "norm": norm, "limit": 0.05}
    return row("attack_health", (value, value, value), status=status, **at)


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        (flag(0.4), "inconclusive"),
        (flag(0.05), "pass"),  # the limit itself raises nothing
        (flag(0.4, norm="l2"), "pass"),  # another norm's attacks
        (flag(None, status="not_applicable"), "pass"),
        (flag(None, status="failed"), "inconclusive"),
    ],
)
def test_attack_health_turns_a_pass_into_doubt_and_leaves_a_fail(
    make: Make, health: MeasurementRow, expected: str
) -> None:
    good = only(make([clean(), robust(0.6, 0.7, 0.8), health]), rule(min=0.5))
    assert good.status == expected, good.reason
    assert ("attack health" in good.reason) == (expected == "inconclusive")
    assert only(make([clean(), robust(0.2, 0.3, 0.4), health]), rule(min=0.5)).status == "fail"
    assert only(make([clean(), health]), rule("accuracy", min=0.5)).status == "pass"


def test_a_collapsed_model_passes_nothing_but_what_speaks_of_itself(make: Make) -> None:
    fidelity = row("membership_auc", (0.5, 0.47, 0.53), probe="membership", attack="loss")
    cost = row("macs", (10.0, 10.0, 10.0), probe="cost")
    results = make([clean(share=0.1), robust(0.6, 0.7, 0.8), fidelity, cost])
    decision = only(results, rule(min=0.5))
    assert decision.status == "inconclusive"
    assert "collapsed" in decision.reason
    assert only(results, rule("membership_auc", max=0.6)).status == "inconclusive"
    assert only(results, rule("accuracy", min=0.5)).status == "fail"
    assert only(results, rule("macs", max=20)).status == "pass"


def test_without_clean_accuracy_a_collapse_cannot_be_excluded(make: Make) -> None:
    decision = only(make([robust(0.6, 0.7, 0.8)]), rule(min=0.5))
    assert decision.status == "inconclusive"
    assert "clean accuracy" in decision.reason


def test_mutating_one_measurement_across_the_limit_flips_the_verdict(make: Make) -> None:
    rows = [*(clean(seed=s) for s in range(5)), *(robust(0.55, 0.6, 0.65, seed=s) for s in range(5))]
    assert verdicts(make(rows), rule(min=0.5)).status == "pass"
    rows[7] = robust(0.35, 0.4, 0.45, seed=2)
    assert verdicts(make(rows), rule(min=0.5)).status == "fail"


WAIVER = {"rule": "r", "variant": "m@*", "expires": TODAY, "reason": "known"}


@pytest.mark.parametrize(
    ("keys", "figure", "expected", "remark"),
    [
        ({}, (0.2, 0.3, 0.4), "waived", None),
        ({}, (0.4, 0.5, 0.6), "waived", None),
        ({"variant": "m@0.5"}, (0.2, 0.3, 0.4), "waived", None),
        ({"expires": date(2026, 5, 31)}, (0.2, 0.3, 0.4), "fail", "expired on 2026-05-31"),
        ({"rule": "other"}, (0.2, 0.3, 0.4), "fail", "matches nothing"),
        ({"variant": "x"}, (0.2, 0.3, 0.4), "fail", "matches nothing"),
        ({}, (0.6, 0.7, 0.8), "pass", "is not needed"),
    ],
)
def test_waivers(
    make: Make, keys: dict[str, Any], figure: tuple[float, float, float], expected: str, remark: str | None
) -> None:
    waiver = Waiver.model_validate(WAIVER | keys)
    found = verdicts(make([clean(), robust(*figure)]), rule(min=0.5), waivers=[waiver])
    (decision,) = found.decisions
    assert decision.status == expected
    assert found.exit_code == (1 if expected == "fail" else 0)
    assert [remark in line for line in found.remarks if remark] == ([True] if remark else [])
    assert len(found.remarks) == (remark is not None)
    assert (decision.waiver is waiver) == (expected == "waived")
    assert (decision.judged is not None) == (expected == "waived")


@pytest.mark.parametrize(
    ("figures", "waiting", "status", "code"),
    [
        ("p", 0, "pass", 0),
        ("f", 0, "fail", 1),
        ("i", 0, "inconclusive", 3),
        ("n", 0, "not_run", 4),
        ("pi", 0, "inconclusive", 3),
        ("pin", 0, "not_run", 4),
        ("pinf", 0, "fail", 1),
        ("p", 1, "not_run", 4),
        ("i", 1, "not_run", 4),
        ("f", 1, "fail", 1),
    ],
)
def test_a_failure_goes_before_what_is_missing_and_that_before_doubt(
    make: Make, figures: str, waiting: int, status: str, code: int
) -> None:
    spans = {"p": (6.0, 7.0, 8.0), "f": (1.0, 2.0, 3.0), "i": (4.0, 5.0, 6.0)}
    rows = [clean()]
    for mark in figures:
        low, value, high = spans.get(mark, (0.0, 0.0, 0.0))
        if mark != "n":
            rows.append(row(f"plugin_{mark}", (value, low, high), probe="plugin"))
    rules = [rule(f"plugin_{mark}", id=mark, min=5) for mark in figures]
    found = verdicts(make(rows, waiting=waiting), *rules)
    assert (found.status, found.exit_code) == (status, code)
    assert found.of("m@0.5").decisions == found.decisions


def test_a_family_that_did_not_run_is_not_run_and_says_what_there_is(make: Make) -> None:
    found = verdicts(make([clean()]), rule("tampering_accuracy", min=0.5))
    (decision,) = found.decisions
    assert (decision.status, found.exit_code) == ("not_run", 4)
    assert "tampering_accuracy was not measured; this run has accuracy" in decision.reason


def test_a_condition_that_was_not_measured_is_not_run_and_says_what_there_is(make: Make) -> None:
    decision = only(make([clean(), robust(0.6, 0.7, 0.8)]), rule(min=0.5, at={"eps": "8/255"}))
    assert decision.status == "not_run"
    assert "0.1" in decision.reason


def test_a_rule_for_a_variant_that_is_not_there_is_not_run(make: Make) -> None:
    decision = only(make([clean()]), rule("accuracy", min=0.5, variants=["nothing@*"]))
    assert (decision.status, decision.variant) == ("not_run", "nothing@*")


def test_a_control_is_judged_only_by_its_full_name(make: Make) -> None:
    rows = [clean("m@0.5"), clean("m@control")]
    results = make(rows, controls=["m@control"])
    assert [d.variant for d in verdicts(results, rule("accuracy", min=0.5)).decisions] == ["m@0.5"]
    named = rule("accuracy", min=0.5, variants=["m@control"])
    assert [d.variant for d in verdicts(results, named).decisions] == ["m@control"]


def test_a_rule_against_a_baseline_without_one_is_not_run(make: Make) -> None:
    decision = only(make([clean()]), rule("accuracy", max_drop=0.1, against="baseline"))
    assert decision.status == "not_run"
    assert "--baseline" in decision.reason


def test_a_rule_against_a_baseline_compares_with_the_namesake_there(make: Make) -> None:
    one = rule("accuracy", max_drop=0.1, against="baseline")
    rows = [
        row("accuracy", (h / N, h / N - 0.03, h / N + 0.03), probe="accuracy", hits=h) for h in (900, 600)
    ]
    old, new = make([rows[0]]), make([rows[1]])
    assert judge(new, policy(one), old).status == "fail"
    assert judge(old, policy(one), new).status == "pass"
    assert judge(old, policy(one), old).status == "pass"


def test_dense_is_not_compared_with_itself(make: Make) -> None:
    rows = [
        row("accuracy", (h / N, h / N - 0.03, h / N + 0.03), name, probe="accuracy", hits=h)
        for name, h in (("dense", 900), ("m@0.5", 890))
    ]
    found = verdicts(make(rows), rule("accuracy", max_drop=0.1, variants=["*"]))
    assert {d.variant: d.status for d in found.decisions} == {"dense": "not_applicable", "m@0.5": "pass"}
    alone = verdicts(make([clean("dense")]), rule("accuracy", max_drop=0.1, variants=["*"]))
    assert alone.exit_code == 4


@pytest.mark.parametrize("name", presets())
def test_presets_load_and_judge_a_whole_run(results: Results, name: str) -> None:
    loaded = find(name)
    assert loaded.name == name
    assert all(rule.description for rule in loaded.rules)
    found = judge(results, loaded, today=TODAY)
    assert {d.rule.id for d in found.decisions} == {rule.id for rule in loaded.rules}


def test_a_stricter_preset_passes_no_more_than_a_laxer_one(results: Results) -> None:
    passed = []
    for name in presets():
        found = judge(results, find(name), today=TODAY).decisions
        passed.append({(d.rule.id, d.variant) for d in found if d.status == "pass"})
    lenient, standard, strict = passed
    assert strict <= standard <= lenient
    assert lenient
