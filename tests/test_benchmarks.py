"""The benchmarks' commands run, on data small enough for a test; their times are not judged here."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from pruning.methods import methods

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_versus_art_compares_both_sides() -> None:
    """On the embedded digits; it exits with 1 if our attack is the weaker one."""
    command = [sys.executable, "benchmarks/versus_art.py", "--images", "60"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Robust accuracy under PGD" in result.stdout
    assert "ratio" in result.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_evasion_is_no_weaker_than_art(tmp_path: Path) -> None:
    """On the embedded digits, against ART alone; the peers that are not requirements are skipped aloud."""
    command = [sys.executable, "benchmarks/evasion.py", "--digits", "--images", "60", "--repeats", "1"]
    command += ["--models", str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    rows = [line.split("|") for line in result.stdout.splitlines() if line.startswith("| ART PGD")]
    assert len(rows) == 2, result.stdout + result.stderr
    for _, _, theirs, ours, *_ in rows:
        assert all(
            float(mine) <= float(their) for their, mine in zip(theirs.split(), ours.split(), strict=True)
        )
    for package in ("torchattacks", "foolbox", "autoattack"):
        found = f"{package} is not installed" in result.stderr or package in result.stdout.lower()
        assert found, package


def test_the_report_benchmark_measures_a_small_run() -> None:
    command = [sys.executable, "benchmarks/report.py", "--small", "--repeats", "1"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    line = result.stdout.splitlines()[-1]
    assert line.startswith("4 variants")
    assert " MB" in line


def test_what_the_engine_and_the_ledger_cost_is_measured() -> None:
    """On few units; it exits with 1 if they cost more than 3% of a unit."""
    command = [sys.executable, "benchmarks/scale.py", "--only", "overhead", "--units", "220"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith("220 simulated units")
    assert "bottleneck" in result.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_interval_covers() -> None:
    """With few draws; it exits with 1 if one does not."""
    command = [sys.executable, "benchmarks/coverage.py", "--quick"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("|") > 60


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_pruning_speed_compares_with_torch() -> None:
    """On small images, with few rounds; it exits with 1 if ours is the slower."""
    command = [sys.executable, "benchmarks/pruning_speed.py", "--rounds", "2", "--image", "64"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "same masks: True" in result.stdout
    assert "fewer" in result.stdout
    assert "as fast as each" in result.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_chart_of_criteria_is_the_same_each_time(tmp_path: Path) -> None:
    files = [tmp_path / "a.svg", tmp_path / "b.svg"]
    for file in files:
        options = ["--out", str(file), "--seeds", "1", "--epochs", "2"]
        command = [sys.executable, "benchmarks/criteria.py", *options]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        assert "random, matched" in result.stdout
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_method_sweeps_the_digits_without_a_failed_row(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "audit",
        "run",
        "examples/all-methods.toml",
        "--out",
        str(tmp_path / "run"),
    ]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    with closing(sqlite3.connect(tmp_path / "run" / "run.sqlite")) as db:
        assert db.execute("SELECT DISTINCT status FROM measurement").fetchall() == [("ok",)]
        pruned = {method for (method,) in db.execute("SELECT DISTINCT method FROM variant")}
    assert set(methods()) <= pruned


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_membership_scores_many_examples_and_beats_shadow_models() -> None:
    """A hundred thousand examples by 64 references; the game of ART's shadow models, on the digits."""
    for what, said in (("score", "100,000 examples × 64 references"), ("art", "times as long")):
        command = [sys.executable, "benchmarks/membership.py", what]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        assert said in result.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_mask_tells_of_few_examples_and_nothing_where_models_start_apart() -> None:
    """It exits with 1 if the one is not found or the other is."""
    command = [sys.executable, "benchmarks/mask.py", "--members", "12", "--models", "16"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("| 12 |") == 2
