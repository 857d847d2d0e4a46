"""Advice, pictures of limits, labels and fronts: the arithmetic behind the page's words."""

import math
import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from reports.data.results import Results
from reports.draw.charts import charts
from reports.draw.charts.size_against_risk import Point, front
from reports.draw.labels import spread_apart
from reports.gate.judge import Decision, Status, three_way
from reports.gate.policy import Rule
from reports.gate.status import MARKS, gravity, limit_short, requirement, told
from reports.page.gauge import WIDTH, gauge
from reports.story.advice import verdict_changes

WHY = "a figure; the interval straddles the limit"


def rule(severity: str = "high", **limit: float) -> Rule:
    table = {"id": "r", "metric": "robust_accuracy", "at": {"attack": "worst_case"}, "severity": severity}
    return Rule.model_validate(table | limit)


def decision(
    of: Rule, status: Status, value: float, half: float, n: int = 400, variant: str = "m@0.5"
) -> Decision:
    return Decision(
        of, variant, status, WHY, value, value - half, value + half, n, 1,
        {"eps": 0.1, "attack": "worst_case"},
    )  # fmt: skip


@pytest.mark.parametrize(("value", "verb"), [(0.43, "meet"), (0.37, "fail")])
@pytest.mark.parametrize("limit", [{"min": 0.4}, {"max_drop": 0.4}])
@pytest.mark.parametrize("methods", [1, 3])
def test_at_the_advised_number_of_examples_four_in_five_figures_decide_it(
    results: Results, limit: dict[str, float], value: float, verb: str, methods: int
) -> None:
    """Figures drawn about the true one with the error that so many examples leave, each with its interval."""
    of = rule(**limit)
    if "max_drop" in limit:
        verb = {"meet": "fail", "fail": "meet"}[verb]
    half, n = 0.05, 400
    open_ = [decision(of, "inconclusive", value, half, n, f"{name}@0.5") for name in "abc"[:methods]]
    (said,) = [s for s in verdict_changes(results, open_) if "More" in s]
    assert f"would {verb} the requirement with a probability of 80%" in said
    advised = int(re.search(r"about n = ([\d,]+) \(now n = 400\)", said).group(1).replace(",", ""))  # type: ignore[union-attr]
    error = half / stats.norm.isf(0.025) * math.sqrt(n / advised)
    figures = np.random.default_rng(1).normal(value, error, 20_000)
    reach = stats.norm.isf(0.025 / methods) * error  # Bonferroni over methods; Holm's first step for failures
    decided = [
        three_way(f - reach, f + reach, 0.4, upper="max_drop" in limit)
        == {"meet": "pass", "fail": "fail"}[verb]
        for f in figures
    ]
    assert np.mean(decided) == pytest.approx(0.8, abs=0.03)


def test_a_figure_on_the_limit_is_not_promised_to_more_data(results: Results) -> None:
    said = list(verdict_changes(results, [decision(rule(min=0.4), "inconclusive", 0.4001, 0.05)]))
    assert "more data would hardly decide it" in said[0]


def test_the_nearest_of_those_that_fail_is_named_with_what_it_lacks(results: Results) -> None:
    of = rule(min=0.4)
    near, far = (
        decision(of, "fail", 0.3, 0.05, variant="near"),
        decision(of, "fail", 0.1, 0.05, variant="far"),
    )
    said = next(verdict_changes(results, [far, near]))
    assert said.startswith(
        "near, of those that fail the nearest, would pass if it were better by 15.0 points"
    )
    moved = 0.15
    assert three_way(0.25 + moved, 0.35 + moved, 0.4, upper=False) == "pass"


def test_worse_comes_first_by_status_then_severity_then_distance() -> None:
    low, high = rule("low", min=0.4), rule("critical", min=0.4)
    ordered = [
        decision(high, "fail", 0.1, 0.05),
        decision(high, "fail", 0.3, 0.05),
        decision(low, "fail", 0.0, 0.05),
        decision(high, "not_run", 0.0, 0.05),
        decision(high, "inconclusive", 0.39, 0.05),
        decision(high, "pass", 0.6, 0.05),
    ]
    shuffled = [ordered[i] for i in (3, 0, 5, 2, 4, 1)]
    assert sorted(shuffled, key=gravity) == ordered


def test_rules_in_words() -> None:
    assert requirement(rule(min=0.4)) == "Robust accuracy, worst case over all attacks: at least 40.0%"
    assert requirement(rule(max_drop=0.05)).endswith("at most 5.0 points below dense")
    assert (limit_short(rule(min=0.4)), limit_short(rule(max_drop=0.05))) == ("≥ 40.0%", "drop ≤ 5.0 points")
    assert told(decision(rule(min=0.4), "fail", 0.3, 0.05)) == (
        "robust accuracy at ε = 0.1 is 30.0% (25.0–35.0%; at least 40.0% asked)"
    )
    better = told(decision(rule(max_drop=0.05), "pass", -0.02, 0.01))
    assert better.startswith("robust accuracy at ε = 0.1 rises by 2.0 points")
    assert len({mark.icon for mark in MARKS.values()}) == len({m.word for m in MARKS.values()}) == len(MARKS)


@pytest.mark.parametrize("limit", [{"min": 0.4}, {"max_drop": 0.4}])
@given(value=st.floats(0, 1), half=st.floats(0.001, 0.3))
@settings(max_examples=30, deadline=None)
def test_the_gauge_draws_the_interval_on_the_side_where_it_is(
    limit: dict[str, float], value: float, half: float
) -> None:
    drawn = gauge(decision(rule(**limit), "fail", value, half))
    zone = re.search(r'class="zone" x="([\d.]+)" y="0" width="([\d.]+)"', drawn)
    bar = re.search(r'class="bar" x1="([\d.]+)" x2="([\d.]+)"', drawn)
    assert zone is not None
    assert bar is not None
    left, right = float(zone.group(1)), float(zone.group(1)) + float(zone.group(2))
    low, high = float(bar.group(1)), float(bar.group(2))
    assert 0 <= low <= high <= WIDTH
    status = three_way(value - half, value + half, 0.4, upper="max_drop" in limit)
    inside, outside = left - 0.2 <= low and high <= right + 0.2, high <= left + 0.2 or low >= right - 0.2
    assert {"pass": inside, "fail": outside, "inconclusive": True}[status]


def test_no_gauge_without_an_interval() -> None:
    assert gauge(Decision(rule(min=0.4), "m", "not_run", "none")) == ""


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12))
@settings(max_examples=80, deadline=None)
def test_the_front_is_what_no_other_dominates(points: list[tuple[int, int, int]]) -> None:
    """Against the definition, written plainly: smaller size, higher first figure, lower second one."""
    found = front([Point(str(i), s, (a, b)) for i, (s, a, b) in enumerate(points)], ["lower", "higher"])
    for point, (s, a, b) in zip(found, points, strict=True):
        beaten = any(
            s2 <= s and a2 >= a and b2 <= b and (s2 < s or a2 > a or b2 < b) for s2, a2, b2 in points
        )
        assert point.front is not beaten


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=80, deadline=None)
def test_labels_never_overlap_and_keep_their_order(values: list[float]) -> None:
    heights = spread_apart(values, 0.0, 1.0, 0.07)
    assert max(heights) <= 1 + 1e-9
    order = sorted(range(len(values)), key=lambda i: (values[i], i))
    assert all(heights[b] - heights[a] >= 0.07 - 1e-9 for a, b in pairwise(order))


def test_tables_of_the_trade_off_charts_equal_the_results_file(results: Results) -> None:
    def mean(metric: str, at: dict[str, object], variant: str) -> float:
        return float(results.select(metric, at, variant=variant)["value"].mean())

    side = charts()["methods_side_by_side"].draw(results)
    size = charts()["size_against_risk"].draw(results)
    slope = charts()["dense_to_pruned"].draw(results)
    assert side is not None
    assert size is not None
    assert slope is not None
    clean: dict[str, object] = {"split": "test"}
    for row in side.table.rows:
        assert row[1].value == pytest.approx(mean("accuracy", clean, row[0].text))
    for row in size.table.rows:
        assert row[1].value == pytest.approx(mean("nonzero_parameters", {}, row[0].text))
    rows = [row for row in slope.table.rows if row[0].text == "Clean accuracy"]
    assert len(rows) == 3
    for row in rows:
        dense, pruned = mean("accuracy", clean, "dense"), mean("accuracy", clean, row[1].text)
        assert [cell.value for cell in row[2:]] == pytest.approx([dense, pruned, pruned - dense])
    for row in rows:
        assert f": {row[3].text}" in slope.panels[0].plot.svg("")
