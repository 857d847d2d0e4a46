"""What programs read of preflight and gate says the same as what people read."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def prune_audit(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "audit", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_preflight(
    tiny: dict[str, Any], write_plan: Callable[[dict[str, Any]], Path], tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "def build(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Softmax(1))\n"
    )
    tiny["model"]["build"] = "mine.py:build"
    tiny["pruning"]["methods"] = ["global-magnitude"]
    result = prune_audit("preflight", write_plan(tiny), "--json")
    found = json.loads(result.stdout)
    assert result.returncode == 5
    assert found["refused"] == ["probabilities"]
    assert {"name", "what", "cause", "cure", "serious", "model", "accepted"} == set(found["findings"][0])
    assert "multiply-adds" in found["facts"]["model"]


def test_gate(reference: Path) -> None:
    said = prune_audit("gate", reference / "out")
    result = prune_audit("gate", reference / "out", "--json")
    found = json.loads(result.stdout)
    assert result.returncode == said.returncode == found["exit_code"]
    assert f"\n{found['verdict']}: " in said.stdout
    shown = [d for d in found["decisions"] if d["status"] != "NOT APPLICABLE"]
    for decision in shown:
        assert f"{decision['rule']}, {decision['variant']}: {decision['reason']}" in said.stdout
    assert shown


def test_version_has_a_short_form() -> None:
    assert prune_audit("-V").stdout == prune_audit("--version").stdout
