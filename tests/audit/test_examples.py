"""The examples of other fields than images run from end to end, offline."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit import runner
from audit.plan import load
from audit.preflight import examine, preflight
from reports.data.results import read

EXAMPLES = Path(__file__).parents[2] / "examples"
FIELDS = {"medicine": 0.9, "finance": 0.85, "speech": 0.85}
"""Each with an accuracy that its dense model exceeds."""


@pytest.mark.parametrize("field", FIELDS)
def test_each_field_passes_preflight_without_a_word(field: str) -> None:
    found = examine(preflight(load(EXAMPLES / field / "plan.toml")))
    assert [str(finding) for finding in found.findings] == []
    assert "standard deviations of each feature" in dict(found.figures)["ε"]


@pytest.mark.slow
@pytest.mark.parametrize("field", FIELDS)
def test_each_field_runs(field: str, execute: Callable[..., runner.Outcome], tmp_path: Path) -> None:
    assert execute(EXAMPLES / field / "plan.toml", tmp_path / "run").failed == 0
    results = read(tmp_path / "run")
    accuracy = results.select("accuracy", {"split": "test"}, variant="dense")["value"].item()
    assert accuracy > FIELDS[field]
    broken: Any = results.select("robust_accuracy", {"attack": "worst_case"}, variant="dense")
    assert broken["value"].is_monotonic_decreasing or broken["value"].nunique() == 1
    assert results.select("membership_auc", variant="dense")["value"].notna().all()
    if field == "finance":
        assert all("cannot change" in note for note in broken["note"]), json.dumps(list(broken["note"]))
