"""The examples run from a copy of their folder, as a reader runs them."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def command(*words: str, folder: Path) -> str:
    result = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "COLUMNS": "500"},
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples") / "pruned-elsewhere"
    shutil.copytree(EXAMPLES / folder.name, folder, ignore=shutil.ignore_patterns("*.pt", "*.pth", "*.npz"))
    command("prune.py", folder=folder)
    return folder


def test_checkpoints_of_other_tools_pass_preflight(pruned: Path) -> None:
    said = command("-m", "audit", "preflight", "plan.toml", folder=pruned)
    assert "4 masks of torch.nn.utils.prune folded in; 50.0% of the prunable weights are zero" in said
    assert "torch-pruning's history was followed: 3 steps" in said
    assert "weights of dense" in said


@pytest.mark.slow
def test_checkpoints_of_other_tools_reach_a_report_beside_their_dense_original(pruned: Path) -> None:
    command("-m", "audit", "run", "plan.toml", "--out", "run", folder=pruned)
    page = (pruned / "run" / "report.html").read_text(encoding="utf-8")
    assert "4 masks of torch.nn.utils.prune folded in" in page
    assert "torch-prune against dense" in page or "torch-pruning against dense" in page
    with (pruned / "run" / "measurements.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    achieved = {row["variant"]: round(float(row["achieved_sparsity"]), 3) for row in rows}
    assert achieved["dense"] == 0
    assert achieved["torch-prune"] == 0.5
    assert achieved["torch-pruning"] > 0.7
    assert {row["status"] for row in rows if row["metric"] == "accuracy"} == {"ok"}
    sizes = {row["variant"]: float(row["value"]) for row in rows if row["metric"] == "compressed_bytes"}
    assert sizes["torch-prune"] < 0.65 * sizes["dense"]  # its -0.0 take no place
