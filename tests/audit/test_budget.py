"""A plan cut to the time that there is: every family stays, and what goes is said."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from attacks.registry import probes
from audit import budget
from audit.errors import PlanError
from audit.plan import load
from audit.preflight import Subject, preflight
from audit.unit import MODELS
from audit.units import units

Write = Callable[[dict[str, Any]], Path]


@pytest.fixture
def rich(tiny: dict[str, Any]) -> dict[str, Any]:
    """A plan with something to leave out of everything."""
    tiny["pruning"] |= {"sparsities": [0.5, 0.7, 0.9], "seeds": [0, 1]}
    tiny["probes"]["evasion"] |= {"level": "standard", "transfer": False}
    tiny["probes"]["membership"] = {"level": "standard", "references": 4}
    tiny["data"]["audit_examples"] = 200
    return tiny


def cost(subject: Subject, pace: float = 1e-3) -> float:
    return sum(unit.passes for unit in units(subject.plan, subject.data, "cpu")) * pace


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("1.5h", 5400)])
def test_times_as_people_write_them(text: str, seconds: float) -> None:
    assert budget.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "-5m", "0h", "5 minutes"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match="such as 30m"):
        budget.seconds(text)


@pytest.mark.parametrize("share", [2.0, 0.5, 0.1, 0.01])
def test_what_is_left_fits_and_every_family_stays(
    rich: dict[str, Any], write_plan: Write, share: float
) -> None:
    whole = preflight(load(write_plan(rich)))
    allowed = share * cost(whole)
    cut, left = budget.within(whole, allowed, 1e-3, 1)
    assert set(cut.plan.probes) == set(whole.plan.probes)
    assert {u.kind for u in units(cut.plan, cut.data, "cpu")} >= {"dense", "pruned", "probe", "cost"}
    if share == 2.0:
        assert (cut, left) == (whole, ())
        return
    assert left
    assert cost(cut) <= allowed or "nothing more" in left[-1]
    assert cut.plan.settings["evasion"].eps == whole.plan.settings["evasion"].eps  # type: ignore[attr-defined]
    assert ("audit examples" in " ".join(left)) == (len(cut.data.test) < len(whole.data.test))


def test_only_the_last_resort_makes_another_subject(rich: dict[str, Any], write_plan: Write) -> None:
    """What else is cut is part of the whole: the same models, by the same names."""
    whole = preflight(load(write_plan(rich)))
    cut, left = budget.within(whole, 0.5 * cost(whole), 1e-3, 1)
    assert "audit examples" not in " ".join(left)
    every = {u.id for u in units(whole.plan, whole.data, "cpu") if u.kind in MODELS}
    assert {u.id for u in units(cut.plan, cut.data, "cpu") if u.kind in MODELS} <= every


def test_a_run_within_a_budget_is_completed_by_one_without(
    tiny: dict[str, Any], write_plan: Write, tmp_path: Path
) -> None:
    tiny["pruning"] |= {"sparsities": [0.5, 0.9], "methods": ["global-magnitude"]}
    tiny["probes"] = {"skip": [name for name in probes() if name != "accuracy"]}
    plan = write_plan(tiny)

    def run(*more: str) -> str:
        words = [sys.executable, "-m", "audit", "run", str(plan), "--out", "out", "--engine", "inline", *more]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def variants() -> set[str]:
        with closing(sqlite3.connect(tmp_path / "out/run.sqlite")) as db:
            return {name for (name,) in db.execute("SELECT variant FROM variant")}

    said = run("--budget", "0.01s")
    assert "Within 0.01s: left out" in said
    assert "- 1 of 2 sparsities (0.5)" in said
    assert "global-magnitude@0.5" not in variants()
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "cut to a budget of time. Left out: 1 of 2 sparsities (0.5)" in page
    assert "Resuming" in run()
    assert {"global-magnitude@0.5", "global-magnitude@0.9"} <= variants()
    assert "cut to a budget" not in (tmp_path / "out/report.html").read_text(encoding="utf-8")
