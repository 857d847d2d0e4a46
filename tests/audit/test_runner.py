"""Runs: the same rows whatever the engine, the interruptions and the crashes."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from audit import runner, work
from audit.errors import IncompleteError, PlanError
from audit.plan import load
from audit.preflight import preflight
from audit.unit import Unit
from audit.units import units
from pruning import scoring
from pruning.criteria import _gradients, _inputs
from reports.data.ledger import Ledger

Write = Callable[[dict[str, Any]], Path]
Execute = Callable[..., runner.Outcome]
RowsOf = Callable[[Path], list[tuple[Any, ...]]]


def test_every_variant_and_probe_has_its_rows(reference: Path, rows_of: RowsOf) -> None:
    found = {(row[0], row[2], row[3]) for row in rows_of(reference / "out") if row[9] == "ok"}
    for variant in ("dense", "dense-finetuned", "global-magnitude@0.5", "filter-l2@0.5"):
        for probe, metric in {
            "accuracy": "accuracy",
            "evasion": "robust_accuracy",
            "membership": "membership_auc",
            "extraction": "extraction_fidelity",
            "cost": "macs",
        }.items():
            assert (variant, probe, metric) in found


def test_a_second_run_computes_nothing(reference: Path, execute: Execute, rows_of: RowsOf) -> None:
    before = rows_of(reference / "out")
    outcome = execute(reference / "plan.toml", reference / "out")
    assert (outcome.computed, outcome.failed) == (0, 0)
    assert rows_of(reference / "out") == before


def test_worker_processes_give_the_same_rows(
    reference: Path, execute: Execute, rows_of: RowsOf, tmp_path: Path
) -> None:
    outcome = execute(reference / "plan.toml", tmp_path / "out", "local", 2)
    assert outcome.failed == 0
    assert rows_of(tmp_path / "out") == rows_of(reference / "out")


def start(plan: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "audit", "run", str(plan), "--out", str(out), "--device", "cpu", *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for_units(out: Path, at_least: int) -> int:
    """Until that many units are done (or the time is up); how many are."""
    done = 0
    for _ in range(4000):
        time.sleep(0.05)
        if (out / runner.RESULTS).exists():
            with closing(sqlite3.connect(out / runner.RESULTS)) as db:
                try:
                    done = db.execute("SELECT count(*) FROM unit WHERE status = 'done'").fetchone()[0]
                except sqlite3.OperationalError:
                    continue
            if done >= at_least:
                break
    return done


def test_killed_in_the_middle_and_resumed_equals_undisturbed(
    reference: Path, execute: Execute, rows_of: RowsOf, tmp_path: Path
) -> None:
    process = start(reference / "plan.toml", tmp_path / "out", "--jobs", "2")
    done = wait_for_units(tmp_path / "out", 3)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    planned = len(units(load(reference / "plan.toml"), preflight(load(reference / "plan.toml")).data, "cpu"))
    assert 3 <= done < planned
    assert not (tmp_path / "out" / "report.html").exists()
    outcome = execute(reference / "plan.toml", tmp_path / "out")
    assert 0 < outcome.computed < planned
    assert rows_of(tmp_path / "out") == rows_of(reference / "out")


def test_ctrl_c_keeps_what_is_finished_and_leaves_no_worker(reference: Path, tmp_path: Path) -> None:
    process = start(reference / "plan.toml", tmp_path / "out", "--jobs", "2")
    assert wait_for_units(tmp_path / "out", 2) >= 2
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "run the same command again" in output
    assert "Traceback" not in output


def test_a_killed_worker_costs_one_retry(reference: Path, rows_of: RowsOf, tmp_path: Path) -> None:
    process = start(reference / "plan.toml", tmp_path / "out", "--jobs", "2")
    assert wait_for_units(tmp_path / "out", 1) >= 1
    children = subprocess.run(
        ["/bin/sh", "-c", f"cat /proc/{process.pid}/task/*/children"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    for child in children:
        command = Path(f"/proc/{child}/cmdline").read_text(encoding="utf-8")
        if "spawn_main" in command:
            os.kill(int(child), signal.SIGKILL)
            break
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    assert rows_of(tmp_path / "out") == rows_of(reference / "out")


def test_a_crashing_probe_becomes_visible_rows_and_is_retried(
    reference: Path, execute: Execute, rows_of: RowsOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(reference / "plan.toml", tmp_path)
    probes = work.probes()

    def crash(*_: object) -> list[Any]:
        raise RuntimeError("planted")

    broken = probes | {"membership": replace(probes["membership"], run=crash)}
    monkeypatch.setattr(work, "probes", lambda: broken)
    outcome = execute(tmp_path / "plan.toml", tmp_path / "out")
    assert outcome.failed == 4
    failed = [row for row in rows_of(tmp_path / "out") if row[9] == "failed"]
    assert {row[3] for row in failed} == set(probes["membership"].card.metrics)
    assert {row[0] for row in failed} == {"dense", "dense-finetuned", "global-magnitude@0.5", "filter-l2@0.5"}
    assert all("RuntimeError: planted" in row[10] for row in failed)
    monkeypatch.undo()
    outcome = execute(tmp_path / "plan.toml", tmp_path / "out")
    assert (outcome.computed, outcome.failed) == (4, 0)
    assert rows_of(tmp_path / "out") == rows_of(reference / "out")


def test_a_model_that_cannot_be_made_fails_visibly_everywhere(
    tiny: dict[str, Any], write_plan: Write, execute: Execute, rows_of: RowsOf, tmp_path: Path
) -> None:
    tiny["pruning"]["methods"] = ["filter-l2"]
    tiny["pruning"]["sparsities"] = [0.99999]
    outcome = execute(write_plan(tiny), tmp_path / "out")
    assert outcome.failed == 9  # the model, its references, what would fool it, its probes; not the costs
    failed = [row for row in rows_of(tmp_path / "out") if row[9] == "failed"]
    assert {row[0] for row in failed} == {"filter-l2@0.99999"}
    assert {row[2] for row in failed} == {
        "accuracy",
        "evasion",
        "membership",
        "extraction",
        "tampering",
        "cost",
    }


def test_the_folder_of_another_subject_is_left_alone_and_the_difference_shown(
    reference: Path, execute: Execute, tiny: dict[str, Any], write_plan: Write
) -> None:
    before = (reference / "out" / runner.RESULTS).read_bytes()
    tiny["train"]["epochs"] = 4
    with pytest.raises(PlanError, match="another subject: train.epochs: 3 → 4; nothing was written"):
        execute(write_plan(tiny), reference / "out")
    tiny["train"]["epochs"] = 3
    tiny["data"]["train_examples"] = 99
    with pytest.raises(PlanError, match="another subject: data: "):
        execute(write_plan(tiny), reference / "out")
    tiny["data"] |= {"train_examples": 100, "audit_examples": 41}
    with pytest.raises(PlanError, match="examples.audited: 40 → 41"):
        execute(write_plan(tiny), reference / "out")
    assert (reference / "out" / runner.RESULTS).read_bytes() == before


def test_a_folder_that_is_no_run_is_left_alone(
    tiny: dict[str, Any], write_plan: Write, execute: Execute, tmp_path: Path
) -> None:
    plan, folder = write_plan(tiny), tmp_path / "thesis"
    folder.mkdir()
    (folder / "report.html").write_text("mine", encoding="utf-8")
    with pytest.raises(PlanError, match="not empty and holds no run"):
        execute(plan, folder)
    with pytest.raises(PlanError, match="is a file"):
        execute(plan, plan)
    (folder / runner.RESULTS).write_text("not a database", encoding="utf-8")
    with pytest.raises(PlanError, match="run.sqlite"):
        execute(plan, folder)
    assert (folder / "report.html").read_text(encoding="utf-8") == "mine"
    assert (folder / runner.RESULTS).read_text(encoding="utf-8") == "not a database"


def test_two_runs_at_once_in_one_folder_are_refused(reference: Path, execute: Execute) -> None:
    with FileLock(reference / "out" / "run.lock"), pytest.raises(PlanError, match="another prune-audit"):
        execute(reference / "plan.toml", reference / "out")


def test_a_model_file_that_changed_is_not_measured(
    reference: Path, execute: Execute, rows_of: RowsOf, tmp_path: Path
) -> None:
    shutil.copy(reference / "plan.toml", tmp_path)
    shutil.copytree(reference / "out", tmp_path / "out")
    with closing(sqlite3.connect(tmp_path / "out" / runner.RESULTS)) as db, db:
        (file,) = db.execute("SELECT file FROM variant WHERE variant = 'filter-l2@0.5'").fetchone()
        db.execute("UPDATE every_unit SET status = 'planned' WHERE label = 'accuracy filter-l2@0.5 seed 0'")
    path = tmp_path / "out" / file
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert execute(tmp_path / "plan.toml", tmp_path / "out").failed == 1
    notes = [row[10] for row in rows_of(tmp_path / "out") if row[9] == "failed"]
    assert len(notes) == 1
    assert "has changed since it was made" in notes[0]


def test_every_variant_meets_the_same_attacker(tiny: dict[str, Any], write_plan: Write) -> None:
    tiny["pruning"]["seeds"] = [0, 1]
    plan = load(write_plan(tiny))
    work = units(plan, preflight(plan).data, "cpu")
    for probe in plan.probes:
        seeds = {(u.replicate, u.seed) for u in work if u.probe == probe}
        assert len(seeds) == 2
        assert len({seed for _, seed in seeds}) == 2
    models = [u for u in work if not u.probe]
    assert len({u.seed for u in models}) == len(models)


def test_units_are_named_by_what_determines_them(tiny: dict[str, Any], write_plan: Write) -> None:
    def ids() -> dict[str, str]:
        plan = load(write_plan(tiny))
        return {unit.label: unit.id for unit in units(plan, preflight(plan).data, "cpu")}

    before = ids()
    assert ids() == before
    tiny["probes"]["evasion"]["steps"] = 6
    changed = {label for label, name in ids().items() if before[label] != name}
    assert changed == {label for label in before if label.startswith("evasion ")}
    tiny["pruning"]["finetune_epochs"] = 2
    changed = {label for label, name in ids().items() if before[label] != name}
    assert "train dense seed 0" not in changed
    assert "accuracy dense seed 0" not in changed
    assert "accuracy filter-l2@0.5 seed 0" in changed


def test_the_user_s_own_attack_counts_with_its_code(
    tiny: dict[str, Any], write_plan: Write, tmp_path: Path
) -> None:
    def ids() -> dict[str, str]:
        plan = load(write_plan(tiny))
        return {unit.label: unit.id for unit in units(plan, preflight(plan).data, "cpu")}

    tiny["probes"]["evasion"]["adaptive"] = "mine.py:twin"
    (tmp_path / "mine.py").write_text("def twin(model):\n    return model\n")
    before = ids()
    assert ids() == before
    (tmp_path / "mine.py").write_text("def twin(model):\n    return model.eval()\n")
    changed = {label for label, name in ids().items() if before[label] != name}
    assert changed == {label for label in before if label.startswith("evasion ")}


def test_every_variant_meets_what_fools_the_others(reference: Path, rows_of: RowsOf) -> None:
    found: dict[str, dict[str, float]] = {}
    for row in rows_of(reference / "out"):
        at = json.loads(row[4]) if isinstance(row[4], str) else row[4]
        if row[3] == "robust_accuracy" and at.get("attack") == "transfer" and at["eps"] == 0.2:
            found.setdefault(row[0], {})[at.get("from", "")] = row[5]
    others = {"dense-finetuned", "global-magnitude@0.5", "filter-l2@0.5"}
    assert found["dense"].keys() == {"", *others}
    for variant in others:
        assert found[variant].keys() == {"", "dense", "other variants"}
    for mine in found.values():
        assert all(mine[""] <= alone for alone in mine.values())


def test_perturbations_are_made_once_and_only_where_they_are_asked_for(
    tiny: dict[str, Any], write_plan: Write
) -> None:
    def work() -> list[Unit]:
        plan = load(write_plan(tiny))
        return units(plan, preflight(plan).data, "cpu")

    made = {unit.variant: unit.id for unit in work() if unit.kind == "perturbations"}
    assert len(made) == 4
    (dense,) = [unit for unit in work() if unit.probe == "evasion" and unit.variant == "dense"]
    assert set(dense.parents[1:]) == set(made.values()) - {made["dense"]}
    tiny["probes"]["evasion"]["transfer"] = False
    assert not [unit for unit in work() if unit.kind == "perturbations" or unit.sources]


def test_a_full_disk_is_one_message_and_loses_nothing(
    reference: Path, execute: Execute, rows_of: RowsOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, calls = Ledger.append, [0]

    def full(self: Ledger, *args: Any, **kwargs: Any) -> None:
        calls[0] += 1
        if calls[0] > 3:
            raise sqlite3.OperationalError("database or disk is full")
        append(self, *args, **kwargs)

    monkeypatch.setattr(Ledger, "append", full)
    with pytest.raises(IncompleteError, match="disk is full; what is finished is kept"):
        execute(reference / "plan.toml", tmp_path / "out")
    monkeypatch.undo()
    outcome = execute(reference / "plan.toml", tmp_path / "out")
    assert outcome.computed == outcome.planned - 3
    assert rows_of(tmp_path / "out") == rows_of(reference / "out")


def _counting(function: Callable[..., Any], calls: list[str]) -> Callable[..., Any]:
    def counted(*arguments: Any) -> Any:
        calls.append(function.__name__)
        return function(*arguments)

    return counted


def test_a_sweep_scores_each_criterion_once(
    tiny: dict[str, Any],
    write_plan: Write,
    execute: Execute,
    rows_of: RowsOf,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Six sparsities, two granularities: each criterion looks at the dense model once."""
    tiny["pruning"] |= {
        "methods": ["taylor", "filter-taylor", "wanda"],
        "sparsities": [0.1, 0.3, 0.5, 0.7, 0.8, 0.9],
        "seeds": [0],
        "finetune_epochs": 0,
    }
    tiny["probes"] = {"skip": ["evasion", "membership", "extraction"]}
    passes: list[str] = []
    for module, name in ((_gradients, "mean_over_examples"), (_inputs, "watch")):
        monkeypatch.setattr(module, name, _counting(getattr(module, name), passes))
    plan = write_plan(tiny)
    assert execute(plan, tmp_path / "a").failed == 0
    assert sorted(passes) == ["mean_over_examples", "watch"]
    files = sorted((tmp_path / "a" / "scores").iterdir())
    assert len(files) == 2
    monkeypatch.undo()
    assert execute(plan, tmp_path / "b", engine="local", jobs=2).failed == 0
    assert rows_of(tmp_path / "a") == rows_of(tmp_path / "b")
    for file in files:  # the same scores, bit for bit, from worker processes
        assert file.read_bytes() == (tmp_path / "b" / "scores" / file.name).read_bytes()


def test_scores_that_cannot_be_found_fail_all_that_want_them_visibly(
    tiny: dict[str, Any], write_plan: Write, execute: Execute, tmp_path: Path
) -> None:
    tiny["model"]["build"] = "audit.zoo:paper_mlp"
    tiny["pruning"]["methods"] = ["wanda", "global-magnitude"]
    tiny["probes"] = {"skip": ["evasion", "membership", "extraction"]}
    plan = write_plan(tiny)
    with pytest.MonkeyPatch.context() as patch:

        def broken(*_args: Any, **_more: Any) -> None:
            raise ArithmeticError("no scores today")

        patch.setattr(scoring, "score", broken)
        outcome = execute(plan, tmp_path / "out")
    assert outcome.failed
    with closing(sqlite3.connect(tmp_path / "out" / runner.RESULTS)) as db:
        errors = dict(db.execute("SELECT kind, error FROM unit WHERE error IS NOT NULL"))
        query = "SELECT DISTINCT variant FROM measurement WHERE status = 'failed'"
        failed = {row[0] for row in db.execute(query)}
    assert "no scores today" in errors["score"]
    assert "could not be found, see their own error" in errors["pruned"]
    assert len(failed) == 1
    assert execute(plan, tmp_path / "out").failed == 0  # nothing was lost: the second run finds them
