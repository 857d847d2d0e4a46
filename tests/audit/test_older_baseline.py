"""A run of the program as it stands, beside one of the same plan that an older version made.

``older/run-0.1.0.sqlite.gz`` is the results file of the plan of conftest.py, run by version 0.1.0
A change that makes it incomparable takes every stored baseline from every user: it needs a reason, and a
line in the changelog. A change of the tests' plan needs a new file, made before the change.
"""

import gzip
from pathlib import Path

import pytest

from audit.unit import code_version
from reports.data.results import Results, read
from reports.gate.baseline import cautions, obstacles
from reports.gate.judge import judge
from reports.gate.policy import parse
from reports.write import judged

OLDER = Path(__file__).parent / "older" / "run-0.1.0.sqlite.gz"
POLICY = parse("""
[[rule]]
id = "clean"
metric = "accuracy"
at = { split = "test" }
max_drop = 1
against = "baseline"

[[rule]]
id = "robust"
metric = "robust_accuracy"
at = { attack = "worst_case" }
max_drop = 1
against = "baseline"
""")


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("older")
    (folder / "run.sqlite").write_bytes(gzip.decompress(OLDER.read_bytes()))
    return folder


@pytest.fixture(scope="module")
def now(reference: Path) -> Results:
    return read(reference / "out")


def test_the_older_run_is_a_baseline_still_and_what_changed_is_told(now: Results, older: Path) -> None:
    old = read(older)
    assert old.about["environment"]["code"] != code_version(), "the older run is of this very version"
    assert obstacles(now, old) == []
    said = cautions(now, old)
    assert any(f"code {old.about['environment']['code']} → " in line for line in said)
    (others,) = (line for line in said if line.startswith("not compared"))  # probes that have grown since
    assert "evasion" not in others, others


def test_every_variant_is_paired_with_the_older_one(now: Results, older: Path) -> None:
    decisions = judge(now, POLICY, read(older)).decisions
    assert {decision.variant for decision in decisions} >= {"dense", "global-magnitude@0.5", "filter-l2@0.5"}
    for decision in decisions:
        assert decision.change is not None, decision.reason
        assert decision.change.seeds == (0,)
        assert decision.n == 40


def test_the_cautions_stand_beside_the_verdict(reference: Path, older: Path) -> None:
    assert any(
        "made by other code" in remark for remark in judged(reference / "out", POLICY, older).verdicts.remarks
    )
