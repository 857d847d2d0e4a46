"""The gate beyond one figure: doubts, waivers, what comes first, what is missing, presets."""

from datetime import date
from typing import Any

import pytest
from gate_lab_run import TODAY, Make, N, clean, only, policy, robust, row, rule, verdicts

from reports.data.health import healths
from reports.data.ledger import MeasurementRow
from reports.data.results import Results
from reports.gate.judge import judge
from reports.gate.policy import PolicyError, Waiver, find, presets
from reports.gate.status import MARKS
from reports.page.strip import strip
from reports.story.summary import sentences


def flag(
    value: float | None, norm: str = "linf", status: str = "ok", name: str = "zero_gradients"
) -> MeasurementRow:
    at = {"flag": name, "norm": norm, "limit": 0.05}
    return row("attack_health", (value, value, value), status=status, **at)


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        (flag(0.4), "inconclusive"),
        (flag(0.05), "pass"),  # the limit itself raises nothing
        (flag(0.0), "pass"),
        (flag(None, status="not_applicable"), "inconclusive"),  # the only check: nobody looked
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


UNION = {"norm": "union"}


@pytest.mark.parametrize(
    ("health", "at", "said"),
    [
        ([], {}, "was not measured"),
        ([flag(0.0, norm="l2")], {}, "was not measured"),  # another norm's attacks
        ([flag(0.0), flag(0.4, norm="l2")], {}, ""),
        ([flag(0.0), flag(None, name="noisy_loss", status="not_applicable")], {}, ""),
        ([flag(0.0), flag(None, name="noisy_loss", status="refused")], {}, "could not be measured"),
        ([row("attack_health", (None, None, None), status="failed")], {}, "could not be measured"),
        ([flag(0.0), flag(None, norm="l2", status="failed")], UNION, ""),  # no figure stands in L2
        ([flag(0.0, norm="union")], UNION, "was not measured"),  # but one stands in L∞
        ([row("attack_health", (0.01, 0.0, 0.1), flag="odd", norm="linf")], {}, "raised: odd"),  # no limit: 0
        ([row("attack_health", (0.0, 0.0, 0.1), flag="odd", norm="linf")], {}, ""),
        ([flag(0.0), row("attack_health", (1, 1, 1), flag="uncured", norm="linf", limit=0)], {},
         "raised: not measured soundly"),
    ],
)  # fmt: skip
def test_health_that_was_not_measured_keeps_a_figure_from_passing_on_page_and_gate_alike(
    make: Make, health: list[MeasurementRow], at: dict[str, Any], said: str
) -> None:
    rows = [clean("dense"), clean(), robust(0.6, 0.7, 0.8), robust(0.6, 0.7, 0.8, at=at), *health]
    results = make(rows[: 4 if at else 3] + health, checked=False)
    decision = only(results, rule(min=0.5, at=at))
    assert decision.status == ("inconclusive" if said else "pass"), decision.reason
    assert f"attack health {said}" in decision.reason if said else "health" not in decision.reason
    (item,) = [item for item in strip(results, verdicts(results), None) if item.label == "Attack health"]
    known = healths(results)
    assert any(one.raised or one.unchecked for one in known.values()) == (item.mark is not MARKS["pass"])
    assert (item.mark is not MARKS["pass"]) or not said
    assert ("no flag raised" in item.text) == (item.mark is MARKS["pass"])
    if "measured" in said and "soundly" not in said:
        assert "was not measured" in " ".join(sentences(results))
        assert only(results, rule(min=0.5, at=at, unchecked="allow")).status == "pass"
    elif said:
        assert only(results, rule(min=0.5, at=at, unchecked="allow")).status == "inconclusive"
    worse = make([clean(), robust(0.2, 0.3, 0.4), *health], checked=False)
    assert only(worse, rule(min=0.5)).status == "fail"


def test_every_seed_of_a_figure_needs_its_checks(make: Make) -> None:
    rows = [r for seed in (0, 1) for r in (clean(seed=seed), robust(0.6, 0.7, 0.8, seed=seed))]
    decision = only(make([*rows, flag(0.0)], checked=False), rule(min=0.5))
    assert (decision.status, "was not measured" in decision.reason) == ("inconclusive", True)


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
        ({}, (0.2, 0.3, 0.4), "waived", "is by a pattern: it waives 1 decision"),
        ({}, (0.4, 0.5, 0.6), "waived", "is by a pattern: it waives 1 decision"),
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
    ("pattern", "expected", "remark"),
    [("m@0.5", "waived", ""), ("m@*", "not_run", "does not waive what was not run"),
     ("*", "not_run", "name each variant in full"), ("m@0.[5]", "not_run", "not run")],
)  # fmt: skip
def test_what_was_not_run_is_waived_by_full_name_only(
    make: Make, pattern: str, expected: str, remark: str
) -> None:
    waiver = Waiver.model_validate(WAIVER | {"variant": pattern})
    found = verdicts(make([clean()]), rule(min=0.5), waivers=[waiver])
    assert (found.decisions[0].status, found.status) == (expected, expected)
    assert found.exit_code == (0 if expected == "waived" else 4)
    assert remark in " ".join(found.remarks)


def test_a_waiver_does_not_stand_for_variants_that_are_not_there(make: Make) -> None:
    waiver = Waiver.model_validate(WAIVER | {"variant": "x@*"})
    found = verdicts(make([clean()]), rule("accuracy", min=0.5, variants=["x@*"]), waivers=[waiver])
    assert (found.status, found.exit_code) == ("not_run", 4)


@pytest.mark.parametrize(
    ("judged_on", "expires", "fits"),
    [
        (TODAY, date(2027, 6, 1), True),
        (TODAY, date(2027, 6, 2), False),
        (TODAY, date(2999, 1, 1), False),
        (date(2028, 2, 29), date(2029, 2, 28), True),
        (date(2028, 2, 29), date(2029, 3, 1), False),
        (date(9999, 12, 31), date(9999, 12, 31), True),
    ],
)
def test_a_waiver_lasts_a_year_at_most(make: Make, judged_on: date, expires: date, fits: bool) -> None:
    waiver = Waiver.model_validate(WAIVER | {"expires": expires})
    found = make([clean(), robust(0.2, 0.3, 0.4)])
    if fits:
        verdict = judge(found, policy(rule(min=0.5), waivers=[waiver]), today=judged_on)
        assert (verdict.status, verdict.judged_on) == ("waived", judged_on)
        return
    with pytest.raises(
        PolicyError, match=rf"policy\.toml: waiver 1 \(r\): expires: {expires} is more than a"
    ):
        judge(found, policy(rule(min=0.5), waivers=[waiver]), today=judged_on)


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
