"""A plan small enough to run in seconds, and ways to change it."""

import copy
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from audit import runner
from audit.plan import load
from audit.preflight import preflight

TINY: dict[str, Any] = {
    "model": {"build": "audit.zoo:digits_cnn"},
    "data": {"source": "digits", "train_examples": 100, "audit_examples": 40},
    "train": {"epochs": 3, "batch_size": 32, "learning_rate": 2e-3},
    "pruning": {
        "methods": ["global-magnitude", "filter-l2"],
        "sparsities": [0.5],
        "seeds": [0],
        "finetune_epochs": 1,
    },
    "probes": {
        "evasion": {"level": "quick", "eps": [0.05, 0.2], "steps": 5, "transfer": True},
        "extraction": {"level": "quick", "queries": [50], "epochs": 1},
        "membership": {"level": "quick", "references": 2},
        "tampering": {"level": "quick", "draws": 2, "flips": 3},
    },
}


def toml(table: dict[str, Any]) -> str:
    """Tables of plain values as TOML: JSON is TOML for scalars and flat arrays of them."""
    lines = []

    def emit(name: str, value: dict[str, Any]) -> None:
        lines.append(f"[{name}]")
        nested = {k: v for k, v in value.items() if isinstance(v, dict)}
        lines.extend(f"{k} = {json.dumps(v)}" for k, v in value.items() if k not in nested)
        for key, inner in nested.items():
            emit(f"{name}.{key}", inner)

    for name, value in table.items():
        if isinstance(value, list):
            for item in value:
                lines.append(f"[[{name}]]")
                lines.extend(f"{k} = {json.dumps(v)}" for k, v in item.items())
        elif isinstance(value, dict):
            emit(name, value)
        else:
            lines.insert(0, f"{name} = {json.dumps(value)}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def tiny() -> dict[str, Any]:
    return copy.deepcopy(TINY)


@pytest.fixture
def write_plan(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    def write(table: dict[str, Any]) -> Path:
        path = tmp_path / "plan.toml"
        path.write_text(toml(table), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny plan, and in ``out`` an undisturbed run of it."""
    folder = tmp_path_factory.mktemp("reference")
    (folder / "plan.toml").write_text(toml(TINY), encoding="utf-8")
    outcome = run(folder / "plan.toml", folder / "out")
    assert outcome.failed == 0
    return folder


def run(
    plan: Path, out: Path, engine: runner.EngineName = "inline", jobs: int | None = None
) -> runner.Outcome:
    """Run a plan quietly."""
    console = Console(file=StringIO())
    subject = preflight(load(plan))
    return runner.run(subject, out, engine=engine, jobs=jobs, command="test", console=console)


def rows(out: Path) -> list[tuple[Any, ...]]:
    """Every measurement but the timings, which no two runs share."""
    with closing(sqlite3.connect(out / runner.RESULTS)) as db:
        return db.execute(
            "SELECT variant, seed, probe, metric, at, value, low, high, n, status, note, outcomes "
            "FROM measurement WHERE metric != 'latency' ORDER BY 1, 2, 3, 4, 5"
        ).fetchall()


@pytest.fixture
def execute() -> Callable[..., runner.Outcome]:
    return run


@pytest.fixture
def rows_of() -> Callable[[Path], list[tuple[Any, ...]]]:
    return rows
