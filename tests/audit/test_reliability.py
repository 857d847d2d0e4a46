"""A run under fire: kill -9 at random, no room on the disk. Nothing is lost, nothing is changed."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit import runner

ROOT = Path(__file__).parents[2]
Execute = Callable[..., runner.Outcome]
RowsOf = Callable[[Path], list[tuple[Any, ...]]]


@pytest.mark.slow
def test_random_kills_of_driver_and_workers_change_no_row(reference: Path) -> None:
    command = [sys.executable, "benchmarks/kills.py", "--plan", str(reference / "plan.toml")]
    result = subprocess.run(
        [*command, "--kills", "6", "--longest", "6"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 lost, 0 other" in result.stdout


@pytest.mark.slow
def test_no_room_for_the_results_is_one_message_and_the_rest_is_computed_later(
    reference: Path, execute: Execute, rows_of: RowsOf, tmp_path: Path
) -> None:
    """Files may grow to 200 kB only: enough for the models, not for the results."""
    out, plan = tmp_path / "out", reference / "plan.toml"
    command = (
        f"ulimit -f 200; exec {sys.executable} -m audit run {plan} --out {out} --engine inline --device cpu"
    )
    result = subprocess.run(["/bin/bash", "-c", command], capture_output=True, text=True, check=False)
    assert result.returncode == 4, result.stdout + result.stderr
    assert "cannot be written" in result.stderr
    assert "Traceback" not in result.stderr
    outcome = execute(plan, out)
    assert outcome.failed == 0
    assert 0 < outcome.computed < outcome.planned
    assert rows_of(out) == rows_of(reference / "out")


def test_no_room_for_the_workers_data_is_one_message(reference: Path, tmp_path: Path) -> None:
    plan = reference / "plan.toml"
    run = f"ulimit -f 200; exec {sys.executable} -m audit run {plan} --out {tmp_path / 'out'} --device cpu"
    result = subprocess.run(["/bin/bash", "-c", run], capture_output=True, text=True, check=False)
    assert result.returncode == 4, result.stdout + result.stderr
    assert "the data cannot be written there" in result.stderr
    assert "Traceback" not in result.stderr
