"""A folder belongs to a subject: plans change, what is computed stays, and only the plan's own is shown."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from audit import runner
from audit import unit as audit_unit
from audit.errors import IncompleteError, PlanError
from reports.data.results import read
from reports.write import write

Write = Callable[[dict[str, Any]], Path]
Execute = Callable[..., runner.Outcome]
RowsOf = Callable[[Path], list[tuple[Any, ...]]]


@pytest.fixture
def small(tiny: dict[str, Any]) -> dict[str, Any]:
    tiny["probes"] = {"skip": ["evasion", "membership", "extraction", "tampering"]}
    tiny["pruning"]["methods"] = ["global-magnitude"]
    return tiny


def computed(outcome: runner.Outcome) -> int:
    assert outcome.failed == 0
    return outcome.computed


def test_what_a_plan_gains_is_all_that_is_computed(
    small: dict[str, Any], write_plan: Write, execute: Execute, rows_of: RowsOf, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = execute(write_plan(small), out)
    assert computed(first) == first.planned == 7  # three models, their accuracy, and the costs
    before = rows_of(out)
    small["pruning"]["sparsities"] = [0.5, 0.9]
    assert computed(execute(write_plan(small), out)) == 3  # a model, its accuracy, the costs of all
    assert set(rows_of(out)) > {row for row in before if row[2] != "cost"}
    small["pruning"]["methods"].append("layer-magnitude")
    assert computed(execute(write_plan(small), out)) == 5
    small["pruning"]["seeds"] = [0, 1]
    grown = execute(write_plan(small), out)
    assert computed(grown) == 13  # of one seed: six models, their accuracy, the costs
    small["probes"] = {
        "skip": ["evasion", "membership", "tampering"],
        "extraction": {"queries": [50], "epochs": 1},
    }
    assert computed(execute(write_plan(small), out)) == 12
    execute(write_plan(small), tmp_path / "fresh")
    assert rows_of(out) == rows_of(tmp_path / "fresh")


def test_what_a_plan_loses_is_kept_and_not_shown(
    small: dict[str, Any], write_plan: Write, execute: Execute, rows_of: RowsOf, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    small["pruning"]["sparsities"] = [0.5, 0.9]
    execute(write_plan(small), out)
    whole = rows_of(out)
    small["pruning"]["sparsities"] = [0.5]
    assert computed(execute(write_plan(small), out)) == 1  # the costs, side by side
    shown = read(out)
    assert "global-magnitude@0.9" not in shown.names()
    assert shown.completeness.complete
    assert {row[0] for row in rows_of(out)} == {"dense", "dense-finetuned", "global-magnitude@0.5"}
    for path in write(out, ["html", "csv", "json"]):
        assert "global-magnitude@0.9" not in path.read_text(encoding="utf-8")
    small["pruning"]["sparsities"] = [0.5, 0.9]
    assert computed(execute(write_plan(small), out)) == 0
    assert rows_of(out) == whole


def test_a_variant_that_a_changed_plan_makes_anew_has_the_new_figures(
    small: dict[str, Any], write_plan: Write, execute: Execute, rows_of: RowsOf, tmp_path: Path
) -> None:
    """The same names, another fine-tuning: nothing of the old may show."""
    out = tmp_path / "out"
    execute(write_plan(small), out)
    small["pruning"]["finetune_epochs"] = 2
    assert computed(execute(write_plan(small), out)) == 5
    execute(write_plan(small), tmp_path / "fresh")
    assert rows_of(out) == rows_of(tmp_path / "fresh")


def test_another_version_of_the_code_is_refused_with_the_difference(
    small: dict[str, Any],
    write_plan: Write,
    execute: Execute,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    execute(write_plan(small), tmp_path / "out")
    old = audit_unit.code_version()
    monkeypatch.setattr(audit_unit, "code_version", lambda: "other")
    with pytest.raises(PlanError, match=f"another subject: code: {old} → other; nothing was written"):
        execute(write_plan(small), tmp_path / "out")


def test_a_file_that_another_version_wrote_is_refused(
    small: dict[str, Any], write_plan: Write, execute: Execute, tmp_path: Path
) -> None:
    execute(write_plan(small), tmp_path / "out")
    with closing(sqlite3.connect(tmp_path / "out" / runner.RESULTS)) as db, db:
        db.execute("UPDATE run SET value = '1' WHERE key = 'schema'")
    with pytest.raises(PlanError, match="written by an earlier version"):
        execute(write_plan(small), tmp_path / "out")


def test_a_place_that_cannot_be_written_to_is_one_message(
    small: dict[str, Any], write_plan: Write, execute: Execute
) -> None:
    with pytest.raises(IncompleteError, match="cannot be written"):
        execute(write_plan(small), Path("/proc/prune-audit"))
