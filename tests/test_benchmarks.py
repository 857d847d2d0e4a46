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
