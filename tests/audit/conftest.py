"""A plan small enough to run in seconds, and ways to change it."""

import copy
import importlib.util
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from rich.console import Console

from audit import runner
from audit.plan import load
from audit.preflight import preflight


def _load(file: str) -> ModuleType:
    """A module beside this file, by path: test folders are not packages."""
    name = f"{file}_of_tests"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{file}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


TINY: dict[str, Any] = _load("plans").TINY  # which tests import from plans_of_tests
toml: Callable[[dict[str, Any]], str] = _load("plans").toml
_load("hostile")


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
