"""The benchmarks' commands run, on data small enough for a test; their times are not judged here."""

import subprocess
import sys
from pathlib import Path

import pytest

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


def test_the_report_benchmark_measures_a_small_run() -> None:
    command = [sys.executable, "benchmarks/report.py", "--small", "--repeats", "1"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    line = result.stdout.splitlines()[-1]
    assert line.startswith("4 variants")
    assert " MB" in line
