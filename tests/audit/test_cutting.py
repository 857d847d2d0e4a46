"""Work over examples in pieces: the same rows whatever the cut, and nothing done twice."""

import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from audit import about, runner, work
from audit.cutting import AIM, LARGEST, Cutting
from audit.plan import load
from audit.preflight import preflight
from audit.schedule import needed, ways
from audit.units import units

Write = Callable[[dict[str, Any]], Path]
RowsOf = Callable[[Path], list[tuple[Any, ...]]]

BLOCKS = Cutting(macs=2 * 10**9, seconds=0.0)
"""Blocks of 8 examples of evasion, as for a large model. Nothing is timed, so nothing is cut."""
PASSES = 181 / 8
"""Of evasion in ``deep``."""
HUGE = Cutting(macs=5 * 10**10, seconds=0.0)
"""Blocks of 16 examples of accuracy."""


def execute(plan: Path, out: Path, cutting: Cutting, **more: Any) -> runner.Outcome:
    how = {"engine": "inline", "jobs": None, "command": "test", "console": Console(file=StringIO())}
    return runner.run(preflight(load(plan)), out, cutting=cutting, **{**how, **more})


def cut(blocks: int) -> Cutting:
    """As :data:`BLOCKS`, in shards of so many blocks of evasion."""
    return replace(BLOCKS, seconds=1.0, aim=blocks * BLOCKS.block(PASSES) * PASSES)


@pytest.fixture
def deep(tiny: dict[str, Any]) -> dict[str, Any]:
    """Every kind of evasion that is cut: several norms, attacks on survivors, distances, transfer,
    corruptions; and what is in doubt, so that there is a cure."""
    tiny["pruning"]["methods"] = ["global-magnitude"]
    tiny["probes"] = {
        "evasion": {
            "level": "quick", "eps": [0.05, 0.2], "steps": 5, "transfer": True, "corruptions": True,
            "attacks": ["fgsm", "pgd", "fmn", "apgd_ce"], "fmn_steps": 8, "apgd_steps": 8,
            "queries": 20, "targets": 2,
        },
        "skip": ["membership", "extraction"],
    }  # fmt: skip
    return tiny


@given(st.integers(0, 5000), st.floats(0.01, 1e4), st.integers(1, 10**11), st.floats(0, 10))
def test_ranges_cover_all_examples_once_in_whole_blocks(
    examples: int, passes: float, macs: int, seconds: float
) -> None:
    cutting = Cutting(macs, seconds)
    ranges, block = cutting.shards(examples, passes), cutting.block(passes)
    assert [place for some in ranges for place in some] == list(range(examples))
    assert 1 <= block <= LARGEST
    assert all(some.start % block == 0 for some in ranges)
    if len(ranges) > 1:
        assert all(len(some) <= block or len(some) * seconds * passes <= 2 * AIM for some in ranges)


def test_what_is_quick_stays_in_one_piece() -> None:
    demo = Cutting(macs=320_832, seconds=1e-5)
    assert demo.shards(500, 20) == [range(500)]
    assert demo.block(20) >= 500


def test_rows_do_not_depend_on_the_cut(
    deep: dict[str, Any], write_plan: Write, rows_of: RowsOf, tmp_path: Path
) -> None:
    plan = write_plan(deep)
    whole = execute(plan, tmp_path / "whole", BLOCKS)
    assert whole.failed == 0
    assert [
        row for row in rows_of(tmp_path / "whole") if '"cured"' in row[4]
    ]  # or the cure is not tried here
    planned_finest = units(load(plan), preflight(load(plan)).data, "cpu", cut(1))
    done = Counter(unit.doing for unit in planned_finest if unit.kind == "piece" and unit.variant == "dense")
    assert min(done[stage] for stage in ("attacks", "inference", "every ε", "health", "cure")) > 1
    finest = execute(plan, tmp_path / "finest", cut(1))
    assert finest.failed == 0
    assert rows_of(tmp_path / "finest") == rows_of(tmp_path / "whole")
    local = execute(plan, tmp_path / "local", cut(2), engine="local", jobs=2)
    assert local.failed == 0
    assert finest.planned > local.planned > whole.planned
    assert rows_of(tmp_path / "local") == rows_of(tmp_path / "whole")
    # and another cut of what is done does nothing
    assert execute(plan, tmp_path / "local", cut(1)).computed == 0
    assert rows_of(tmp_path / "local") == rows_of(tmp_path / "whole")


def test_pieces_that_are_done_stay_done(
    deep: dict[str, Any], write_plan: Write, rows_of: RowsOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, calls = write_plan(deep), [0]
    assert execute(plan, tmp_path / "whole", BLOCKS).failed == 0

    def stop(self: Any, *_: Any) -> None:
        calls[0] += 1
        if calls[0] == 12:
            raise KeyboardInterrupt

    monkeypatch.setattr("audit.progress.Monitor.finished", stop)
    with pytest.raises(KeyboardInterrupt):
        execute(plan, tmp_path / "out", cut(1))
    monkeypatch.undo()
    outcome = execute(plan, tmp_path / "out", cut(1))
    assert outcome.computed == outcome.planned - 12
    assert rows_of(tmp_path / "out") == rows_of(tmp_path / "whole")


def test_a_piece_that_fails_fails_its_probe_as_the_whole_would(
    deep: dict[str, Any], write_plan: Write, rows_of: RowsOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probes = work.probes()
    made = probes["accuracy"]
    assert made.cut is not None
    (stage,) = made.cut.stages

    def crash(target: Any, settings: Any, generator: Any, known: Any, examples: range) -> Any:
        if examples.stop > 60:
            raise ArithmeticError("planted")
        return stage.piece(target, settings, generator, known, examples)

    own = replace(made.cut, stages=(replace(stage, piece=crash),))
    broken = replace(made, cut=own, run=own.whole)
    monkeypatch.setattr(work, "probes", lambda: probes | {"accuracy": broken})
    fine = replace(HUGE, seconds=1.0, aim=10.0)
    deep["probes"] = {"skip": ["evasion", "membership", "extraction"]}
    plan = write_plan(deep)
    assert execute(plan, tmp_path / "whole", HUGE).failed == 3
    assert execute(plan, tmp_path / "pieces", fine).failed > 3
    assert rows_of(tmp_path / "pieces") == rows_of(tmp_path / "whole")
    failed = [row for row in rows_of(tmp_path / "whole") if row[9] == "failed"]
    assert {row[10] for row in failed} == {"ArithmeticError: planted"}
    monkeypatch.undo()
    outcome = execute(plan, tmp_path / "pieces", fine)
    assert outcome.failed == 0
    assert {row[9] for row in rows_of(tmp_path / "pieces") if row[2] == "accuracy"} == {"ok"}


def test_foreign_attacks_are_cut_as_all_others(deep: dict[str, Any], write_plan: Write) -> None:
    deep["probes"]["evasion"]["attacks"] = ["fgsm", "art:DeepFool"]
    plan = load(write_plan(deep))
    planned = units(plan, preflight(plan).data, "cpu", replace(HUGE, seconds=1.0, aim=10.0))
    assert [unit for unit in planned if unit.kind == "piece" and unit.probe == "evasion"]


def test_names_do_not_depend_on_the_cut_and_the_longest_way_goes_first(
    deep: dict[str, Any], write_plan: Write
) -> None:
    plan = load(write_plan(deep))
    data = preflight(plan).data
    whole, fine = (units(plan, data, "cpu", cutting) for cutting in (BLOCKS, cut(1)))
    names = [{unit.label: unit.id for unit in some if unit.kind == "probe"} for some in (whole, fine)]
    assert names[0] == names[1]
    subject = preflight(plan)
    digests = {about.run(subject, some, "")["plan_digest"] for some in (whole, fine)}
    assert len(digests) == 1
    long = ways(fine)
    assert all(long[parent] >= long[unit.id] for unit in fine for parent in unit.parents)
    done = {unit.id for unit in fine if unit.kind == "probe"}
    assert not [unit for unit in needed(fine, done) if unit.kind == "piece"]
    assert needed(fine, set()) == fine


def test_the_pace_is_measured_once_for_a_folder(
    deep: dict[str, Any], write_plan: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep["probes"] = {"skip": ["evasion", "membership", "extraction"]}
    plan = write_plan(deep)
    console = Console(file=StringIO())

    def run() -> runner.Outcome:
        how: dict[str, Any] = {"engine": "inline", "jobs": None, "command": "t", "console": console}
        return runner.run(preflight(load(plan)), tmp_path / "out", **how)

    assert run().failed == 0
    monkeypatch.setattr("audit.estimate.pace", lambda subject: pytest.fail("measured again"))
    assert run().computed == 0
    with closing(sqlite3.connect(tmp_path / "out" / runner.RESULTS)) as db:
        assert db.execute("SELECT count(*) FROM run WHERE key = 'pace'").fetchone() == (1,)
