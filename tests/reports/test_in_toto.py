import json
from datetime import date
from pathlib import Path
from types import ModuleType

import pytest

from reports.exports.in_toto import render
from reports.gate.judge import judge
from reports.gate.policy import Policy, Rule, Waiver, preset

DAY = date(2026, 6, 1)


@pytest.mark.parametrize(
    ("share", "waived", "result", "tests"),
    [
        (0.95, False, "PASSED", "passedTests"),
        (0.5, False, "FAILED", "failedTests"),
        (0.5, True, "WARNED", "warnedTests"),
        (0.79, False, "FAILED", "failedTests"),
    ],
)
def test_each_model_file_has_a_statement_with_its_own_verdict(
    tmp_path: Path, runs: ModuleType, share: float, waived: bool, result: str, tests: str
) -> None:
    shares = {"m@0.5": share, "k@0.5": 0.99}
    rows = [runs.clean(name, shares[name], seed=seed) for name in shares for seed in (1, 2)]
    rule = Rule.model_validate({"id": "r", "metric": "accuracy", "min": 0.8})
    waiver = Waiver(rule="r", variant="m@0.5", expires=DAY, reason="known")
    verdicts = judge(
        runs.made(tmp_path, rows), Policy((rule,), (waiver,) if waived else ()), today=DAY
    )  # fmt: skip
    found = {}
    for line in render(runs.made(tmp_path / "again", rows), verdicts).splitlines():
        statement = json.loads(line)
        (subject,) = statement["subject"]
        found[subject["annotations"]["variant"], subject["annotations"]["seed"]] = statement["predicate"]
    assert set(found) == {(name, seed) for name in shares for seed in (1, 2)}
    assert {found["m@0.5", seed]["result"] for seed in (1, 2)} == {result}
    assert [test.startswith("r: m@0.5: ") for test in found["m@0.5", 1][tests]] == [True]
    assert found["k@0.5", 2]["result"] == "PASSED"
    assert sum(len(found["k@0.5", 2][name]) for name in ("passedTests", "warnedTests", "failedTests")) == 1


def test_a_run_without_models_speaks_of_its_plan_by_the_plans_own_digest(
    tmp_path: Path, runs: ModuleType
) -> None:
    results = runs.made(tmp_path, [], variants=[], facts={"plan_digest": "a" * 64})
    statement = json.loads(render(results, judge(results, preset("standard"))))
    assert statement["subject"] == [{"name": "plan run", "digest": {"sha256": "a" * 64}}]
    assert statement["predicate"]["result"] == "FAILED"
