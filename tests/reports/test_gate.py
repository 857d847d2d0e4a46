"""What the gate decides, each decision written by hand; the runs are made of rows chosen for the case."""

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reports.gate import Decision, Verdicts, judge, three_way
from reports.ledger import Ledger, MeasurementRow, UnitRow, VariantRow
from reports.policy import Policy, Rule, Waiver, find, presets
from reports.results import Results, read

TODAY = date(2026, 6, 1)
STAMP: dict[str, Any] = {"seconds": 1.0, "finished": "2026-01-02T03:04:06+00:00"}
N = 1000
Make = Callable[..., Results]


def row(
    metric: str,
    figure: tuple[float | None, float | None, float | None],
    variant: str = "m@0.5",
    seed: int = 0,
    *,
    probe: str = "evasion",
    status: str = "ok",
    n: int | None = N,
    hits: int | None = None,
    **at: Any,
) -> MeasurementRow:
    """``hits``: how many of the n examples, from the first on, count as correct."""
    outcomes = None if hits is None or n is None else {"correct": np.arange(n) < hits}
    return MeasurementRow(variant, seed, probe, metric, at, *figure, n, status, "", outcomes)


def clean(variant: str = "m@0.5", seed: int = 0, share: float = 0.9) -> MeasurementRow:
    """Clean accuracy that shows the model not to have collapsed."""
    figure = (share, share - 0.02, share + 0.02)
    return row("accuracy", figure, variant, seed, probe="accuracy", split="test")


def robust(low: float, value: float, high: float, seed: int = 0, **more: Any) -> MeasurementRow:
    at = {"attack": "worst_case", "norm": "linf", "eps": 0.1} | more.pop("at", {})
    return row("robust_accuracy", (value, low, high), seed=seed, **more, **at)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A run of the given rows: every variant and seed that they name exists."""

    def write(rows: Sequence[MeasurementRow], *, waiting: int = 0, controls: Sequence[str] = ()) -> Results:
        folder = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        pairs = list(dict.fromkeys((r.variant, r.seed) for r in rows))
        units = [UnitRow(f"{v}-{s}", "pruned", v) for v, s in pairs]
        units += [UnitRow(f"late-{i}", "evasion", "late") for i in range(waiting)]
        about = {"plan_digest": "d", "subject": {"classes": list("0123456789")}}
        with Ledger.open(folder / "run.sqlite", about, units) as ledger:
            for v, s in pairs:
                made = VariantRow(v, s, v.partition("@")[0], 0.0, 0.0, control=v in controls)
                mine = [r for r in rows if (r.variant, r.seed) == (v, s)]
                ledger.append(f"{v}-{s}", variant=made, measurements=mine, **STAMP)
        return read(folder)

    return write


def rule(metric: str = "robust_accuracy", **keys: Any) -> Rule:
    return Rule.model_validate({"id": "r", "metric": metric, "variants": ["m@*"], **keys})


def policy(*rules: Rule, waivers: Sequence[Waiver] = ()) -> Policy:
    return Policy(tuple(rules), tuple(waivers))


def verdicts(results: Results, *rules: Rule, waivers: Sequence[Waiver] = ()) -> Verdicts:
    return judge(results, policy(*rules, waivers=waivers), today=TODAY)


def only(results: Results, one: Rule) -> Decision:
    (decision,) = verdicts(results, one).decisions
    return decision


LIMITS = {
    "min": rule("robust_accuracy", min=0.5),
    "max": rule("latency", max=5),
    "max_drop": rule("accuracy", max_drop=0.1),
    "max_rise": rule("surrogate_transfer", max_rise=0.1),
}


def of(kind: str, case: str) -> list[MeasurementRow]:
    """The rows of one case of the table below."""
    if kind == "min":
        low, value, high = {
            "below": (0.2, 0.3, 0.4), "straddling": (0.4, 0.5, 0.6), "above": (0.6, 0.7, 0.8),
            "low end touches": (0.5, 0.6, 0.7), "high end touches": (0.3, 0.4, 0.5), "point": (0.5, 0.5, 0.5),
            "no interval": (None, 0.9, None),
        }[case]  # fmt: skip
        return [clean(), row("robust_accuracy", (value, low, high), attack="worst_case")]
    if kind == "max":
        low, value, high = {
            "below": (2.0, 3.0, 4.0), "straddling": (4.0, 5.0, 6.0), "above": (6.0, 7.0, 8.0),
            "low end touches": (5.0, 6.0, 7.0), "high end touches": (3.0, 4.0, 5.0), "point": (5.0, 5.0, 5.0),
            "no interval": (None, 1.0, None),
        }[case]  # fmt: skip
        return [row("latency", (value, low, high), probe="cost")]
    metric = "accuracy" if kind == "max_drop" else "surrogate_transfer"
    probe = "accuracy" if kind == "max_drop" else "extraction"
    sign = -1 if kind == "max_drop" else 1
    # A change of 2, 10 and 30 points of 1,000 examples: its interval lies below, across, above 10 points.
    moved = {"below": 20, "straddling": 100, "above": 300, "no interval": 0}.get(case)
    at = {"split": "test"} if kind == "max_drop" else {}
    if moved is None:  # a counted figure, without sampling error: exactly at a margin of 10 points
        old, new = (0.1, 0.0) if kind == "max_drop" else (0.0, 0.1)
        rows = [
            row(metric, (share, share, share), name, probe=probe, **at)
            for name, share in (("dense", old), ("m@0.5", new))
        ]
    else:
        rows = []
        for name, hits in (("dense", 500), ("m@0.5", 500 + sign * moved)):
            share = hits / N
            figure = (share, None, None) if case == "no interval" else (share, share - 0.03, share + 0.03)
            evidence = None if case == "no interval" else hits
            rows.append(row(metric, figure, name, probe=probe, hits=evidence, **at))
    return rows if kind == "max_drop" else [*rows, clean("dense"), clean()]


@pytest.mark.parametrize(
    ("kind", "case", "expected"),
    [
        ("min", "below", "fail"),
        ("min", "straddling", "inconclusive"),
        ("min", "above", "pass"),
        ("min", "low end touches", "pass"),
        ("min", "high end touches", "inconclusive"),
        ("min", "point", "pass"),
        ("min", "no interval", "inconclusive"),
        ("max", "below", "pass"),
        ("max", "straddling", "inconclusive"),
        ("max", "above", "fail"),
        ("max", "low end touches", "inconclusive"),
        ("max", "high end touches", "pass"),
        ("max", "point", "pass"),
        ("max", "no interval", "inconclusive"),
        ("max_drop", "below", "pass"),
        ("max_drop", "straddling", "inconclusive"),
        ("max_drop", "above", "fail"),
        ("max_drop", "point", "pass"),
        ("max_drop", "no interval", "inconclusive"),
        ("max_rise", "below", "pass"),
        ("max_rise", "straddling", "inconclusive"),
        ("max_rise", "above", "fail"),
        ("max_rise", "point", "pass"),
        ("max_rise", "no interval", "inconclusive"),
    ],
)
def test_the_whole_interval_is_held_against_the_limit(
    make: Make, kind: str, case: str, expected: str
) -> None:
    decision = only(make(of(kind, case)), LIMITS[kind])
    assert decision.status == expected, decision.reason


@pytest.mark.parametrize("kind", LIMITS)
@pytest.mark.parametrize(
    ("status", "alone", "beside"),
    [
        ("failed", "not_run", "not_run"),
        ("refused", "inconclusive", "inconclusive"),
        ("not_applicable", "not_run", "not_applicable"),
        ("absent", "not_run", "not_run"),
    ],
)
def test_what_has_no_figure_never_passes(make: Make, kind: str, status: str, alone: str, beside: str) -> None:
    """``alone``: on the only variant; ``beside``: on a second variant, next to one that has a figure."""
    metric, good = LIMITS[kind].metric, of(kind, "above" if kind == "min" else "below")
    ours = [r for r in good if r.variant == "m@0.5" and r.metric == metric]
    rest = [r for r in good if r not in ours]

    def without(name: str) -> list[MeasurementRow]:
        if status == "absent":
            return [row("macs", (1.0, 1.0, 1.0), name, probe="cost")]
        return [row(metric, (None, None, None), name, probe=ours[0].probe, status=status, **ours[0].at)]

    assert only(make([*rest, *without("m@0.5")]), LIMITS[kind]).status == alone
    both = verdicts(make([*good, *without("m@0.9")]), LIMITS[kind])
    assert {d.variant: d.status for d in both.decisions} == {"m@0.5": "pass", "m@0.9": beside}


@pytest.mark.parametrize(
    ("figure", "status", "expected"),
    [
        ((0.6, 0.7, 0.8), "failed", "not_run"),
        ((0.6, 0.7, 0.8), "refused", "inconclusive"),
        ((0.6, 0.7, 0.8), "not_applicable", "inconclusive"),
        ((0.4, 0.5, 0.6), "failed", "not_run"),
        ((0.2, 0.3, 0.4), "failed", "fail"),
        ((0.2, 0.3, 0.4), "refused", "fail"),
    ],
)
def test_a_seed_without_a_figure_stops_a_pass_and_no_failure(
    make: Make, figure: tuple[float, float, float], status: str, expected: str
) -> None:
    missing = row("robust_accuracy", (None, None, None), seed=1, status=status)
    results = make([clean(), clean(seed=1), robust(*figure), missing])
    assert only(results, rule(min=0.5)).status == expected


def test_a_seed_without_a_row_is_not_run(make: Make) -> None:
    decision = only(make([clean(), clean(seed=1), robust(0.6, 0.7, 0.8)]), rule(min=0.5))
    assert decision.status == "not_run"
    assert "seed 1 has no row" in decision.reason


def test_the_limit_itself_is_allowed_from_either_side() -> None:
    assert three_way(0.5, 0.6, 0.5, upper=False) == "pass"
    assert three_way(0.4, 0.5, 0.5, upper=True) == "pass"
    assert three_way(0.4, 0.5, 0.5, upper=False) == "inconclusive"
    assert three_way(float("nan"), float("nan"), 0.5, upper=False) == "inconclusive"


@pytest.mark.parametrize("last", [(0.2, 0.3, 0.4, "fail"), (0.4, 0.5, 0.6, "inconclusive")])
def test_the_worst_seed_decides_however_good_the_mean(
    make: Make, last: tuple[float, float, float, str]
) -> None:
    *figure, expected = last
    rows = [robust(0.9, 0.95, 0.99, seed=s) for s in (0, 1)] + [robust(*figure, seed=2)]
    decision = only(make([*(clean(seed=s) for s in (0, 1, 2)), *rows]), rule(min=0.5))
    assert decision.status == expected
    assert (decision.value, decision.low, decision.high) == (figure[1], figure[0], figure[2])
    assert decision.seeds == 3
    assert "worst of 3 seeds" in decision.reason


def test_the_worst_of_the_conditions_that_a_rule_leaves_open_decides(make: Make) -> None:
    rows = [robust(0.8, 0.85, 0.9), robust(0.1, 0.2, 0.3, at={"eps": 0.2})]
    results = make([clean(), *rows])
    worst = only(results, rule(min=0.5))
    assert worst.status == "fail"
    assert worst.at is not None
    assert worst.at["eps"] == 0.2
    assert only(results, rule(min=0.5, at={"eps": 0.1})).status == "pass"
    assert only(results, rule(min=0.5, at={"eps": "1/10"})).status == "pass"


@pytest.mark.parametrize(
    ("ask", "expected"),
    [({"min_n": 1000}, "pass"), ({"min_n": 1001}, "inconclusive"), ({"min_seeds": 1}, "pass"),
     ({"min_seeds": 2}, "inconclusive")],
)  # fmt: skip
@pytest.mark.parametrize("good", [True, False])
def test_too_little_data_decides_nothing_either_way(
    make: Make, ask: dict[str, int], expected: str, good: bool
) -> None:
    figure = (0.6, 0.7, 0.8) if good else (0.2, 0.3, 0.4)
    decision = only(make([clean(), robust(*figure)]), rule(min=0.5, **ask))
    assert decision.status == (expected if good or expected == "inconclusive" else "fail")


def test_min_n_counts_the_seed_with_the_fewest(make: Make) -> None:
    rows = [clean(), clean(seed=1), robust(0.6, 0.7, 0.8), robust(0.6, 0.7, 0.8, seed=1, n=50)]
    decision = only(make(rows), rule(min=0.5, min_n=100))
    assert (decision.status, decision.n) == ("inconclusive", 50)


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
    found = verdicts(make(of("max_drop", "below")), rule("accuracy", max_drop=0.1, variants=["*"]))
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
