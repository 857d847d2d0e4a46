"""How far a run is: in a terminal, for programs, while it goes on and after it stopped; our own mistakes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from safetensors.torch import save_file

from audit import cli
from audit.plan import load
from audit.preflight import preflight
from audit.progress import Pace, Waiting
from audit.status import lines, status
from audit.units import units
from audit.zoo import digits_cnn
from reports.data.ledger import Ledger, UnitRow

UNITS = [
    UnitRow("a", "dense", "train dense seed 0"),
    UnitRow("b", "evasion", "evasion dense seed 0", 100),
    UnitRow("c", "evasion", "evasion other seed 0", 300),
    UnitRow("d", "cost", "cost all variants seed 0"),
]


def begun(folder: Path) -> None:
    with Ledger.open(folder / "run.sqlite", {"plan_digest": "d", "plan_name": "mine"}, UNITS) as ledger:
        ledger.note(jobs=2)
        ledger.append("a", seconds=4.0, finished="")
        ledger.append("b", seconds=10.0, finished="")
        ledger.append("d", seconds=1.0, finished="", error="RuntimeError: no clock")


def test_the_state_of_a_run_is_told(tmp_path: Path) -> None:
    begun(tmp_path)
    found = status(tmp_path)
    assert (found.state, found.planned, found.done, found.failed) == ("stopped", 4, 2, 1)
    assert (found.examples, found.examples_done) == (400, 100)
    # 300 examples at 0.1 s, and one unit of a kind that has not succeeded, at the mean of both that have
    assert found.seconds_left == pytest.approx((300 * 0.1 + 7) / 2)
    assert [unit["label"] for unit in found.slowest][:2] == ["evasion dense seed 0", "train dense seed 0"]
    said = dict(lines(found))
    assert said["failed"] == "cost all variants seed 0: RuntimeError: no clock"
    assert said["units"] == "2 of 4 done, 1 failed, 1 waiting"
    with FileLock(tmp_path / "run.lock"):
        assert status(tmp_path).state == "running"


def test_a_finished_run_and_a_run_that_is_none(reference: Path, tmp_path: Path) -> None:
    found = status(reference / "out")
    assert found.state == "finished"
    assert found.done == found.planned
    assert found.seconds_left == 0
    command = [sys.executable, "-m", "audit", "status"]
    result = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "run.sqlite does not exist" in result.stderr
    result = subprocess.run(
        [*command, str(reference / "out"), "--json"], capture_output=True, text=True, check=True
    )
    assert json.loads(result.stdout)["state"] == "finished"


def test_nothing_is_known_of_the_time_before_a_unit_has_finished() -> None:
    pace = Pace()
    assert pace.left({"evasion": Waiting(1, 10)}, 2) is None
    pace.took("evasion", 5, 10.0)
    assert pace.left({"evasion": Waiting(2, 10)}, 2) == 10.0


def test_progress_for_programs_is_json_and_status_sees_the_run(reference: Path, tmp_path: Path) -> None:
    shutil.copy(reference / "plan.toml", tmp_path)
    command = [
        sys.executable,
        "-m",
        "audit",
        "run",
        str(tmp_path / "plan.toml"),
        "--out",
        str(tmp_path / "out"),
    ]
    run = subprocess.Popen(
        [*command, "--device", "cpu", "--engine", "inline", "--log-json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert run.stdout is not None
    first, second = json.loads(run.stdout.readline()), json.loads(run.stdout.readline())
    assert (first["event"], first["units_done"], first["seconds_left"]) == ("started", 0, None)
    assert (second["event"], second["kind"], second["units_done"]) == ("done", "dense", 1)
    assert status(tmp_path / "out").state == "running"
    os.kill(run.pid, signal.SIGKILL)
    run.communicate(timeout=60)
    for _ in range(100):
        if status(tmp_path / "out").state == "stopped":
            break
        time.sleep(0.05)
    assert status(tmp_path / "out").state == "stopped"


def test_a_mistake_of_ours_never_looks_like_a_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise KeyError("planted")

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 70
    said = capsys.readouterr().err
    for words in ("Traceback", "internal error", "says nothing about your model", "Please report it"):
        assert words in said


def test_given_weights_are_loaded_and_others_trained(
    tiny: dict[str, Any], write_plan: Callable[[dict[str, Any]], Path], tmp_path: Path
) -> None:
    """A label that said "train" of weights that were given would make one doubt whose model is audited."""
    del tiny["data"]["train_examples"]
    tiny["pruning"]["finetune_epochs"] = 0
    subject = preflight(load(write_plan(tiny)))
    assert "train dense seed 0" in {unit.label for unit in units(subject.plan, subject.data, "cpu")}
    save_file(digits_cnn().state_dict(), tmp_path / "w.safetensors")
    tiny["model"]["weights"] = "w.safetensors"
    subject = preflight(load(write_plan(tiny)))
    labels = {unit.label for unit in units(subject.plan, subject.data, "cpu")}
    assert "load dense seed 0" in labels
    assert not any(label.startswith("train") for label in labels)
