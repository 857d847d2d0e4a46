import json
from pathlib import Path
from types import ModuleType

from reports.exports.in_toto import render
from reports.gate.judge import judge
from reports.gate.policy import preset


def test_a_run_without_models_speaks_of_its_plan_by_the_plans_own_digest(
    tmp_path: Path, runs: ModuleType
) -> None:
    results = runs.made(tmp_path, [], variants=[], facts={"plan_digest": "a" * 64})
    statement = json.loads(render(results, judge(results, preset("standard"))))
    assert statement["subject"] == [{"name": "plan run", "digest": {"sha256": "a" * 64}}]
    assert statement["predicate"]["result"] == "FAILED"
