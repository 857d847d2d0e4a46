import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.data.ledger import (
    Ledger,
    LedgerError,
    MeasurementRow,
    UnitRow,
    VariantRow,
    canonical,
    pack,
    read_tables,
    unpack,
)

ABOUT = {"plan_digest": "d1", "plan_name": "p"}
UNITS = [UnitRow("u1", "dense", "train"), UnitRow("u2", "evasion", "attack")]
STAMP = {"seconds": 1.0, "finished": "2026-01-01T00:00:00+00:00"}


def row(value: float | None = 0.5, **more: object) -> MeasurementRow:
    return MeasurementRow("dense", 0, "accuracy", "accuracy", {"split": "test"}, value, **more)  # type: ignore[arg-type]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    variant = VariantRow("dense", 0, "dense", 0.0, 0.0, digest="ab", file="models/dense.safetensors")
    evidence = {"correct": np.array([True, False])}
    with Ledger.open(path, ABOUT, UNITS) as ledger:
        ledger.append(
            "u1", variant=variant, measurements=[row(0.5, low=0.4, high=0.6, n=2, outcomes=evidence)], **STAMP
        )
        assert ledger.done() == {"u1"}
        assert ledger.variant("u1") == variant
        assert ledger.variant("u2") is None
    about, tables = read_tables(path)
    assert about["plan_name"] == "p"
    assert [unit[0] for unit in tables["unit"]] == ["u1", "u2"]
    measured = tables["measurement"][0]
    assert measured[:11] == (
        "u1",
        "dense",
        0,
        "accuracy",
        "accuracy",
        '{"split":"test"}',
        0.5,
        0.4,
        0.6,
        2,
        "ok",
    )
    assert unpack(measured[12])["correct"].tolist() == [True, False]  # type: ignore[index]


def test_reopening_keeps_what_is_done_and_adds_what_is_new(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    with Ledger.open(path, ABOUT, UNITS) as ledger:
        ledger.append("u1", measurements=[row()], **STAMP)
    with Ledger.open(path, ABOUT, [*UNITS, UnitRow("u3", "cost", "measure")]) as ledger:
        assert ledger.done() == {"u1"}
    _, tables = read_tables(path)
    assert {unit[0]: unit[3] for unit in tables["unit"]} == {"u1": "done", "u2": "planned", "u3": "planned"}
    assert len(tables["measurement"]) == 1


IDENTITY = {"data": "a" * 64, "train.epochs": 3}


def test_another_subject_is_refused_with_the_difference_and_nothing_changes(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    with Ledger.open(path, {**ABOUT, "identity": IDENTITY}, UNITS):
        pass
    before = path.read_bytes()
    other = {"data": "b" * 64, "train.epochs": 4, "model.weights": "w.safetensors"}
    with pytest.raises(LedgerError, match="another subject") as refused:
        Ledger.open(path, {**ABOUT, "identity": other}, [UnitRow("x", "dense", "x")])
    for difference in ("aaaaaaaaaaaa… → bbbbbbbbbbbb…", "train.epochs: 3 → 4", "none → w.safetensors"):
        assert difference in str(refused.value)
    assert path.read_bytes() == before


def test_another_plan_of_the_same_subject_keeps_what_is_done_and_shows_its_own(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    made = VariantRow("a@0.5", 0, "a", 0.5, 0.5)
    with Ledger.open(path, ABOUT, UNITS) as ledger:
        ledger.append("u1", variant=made, measurements=[row(0.5)], **STAMP)
        ledger.append("u2", measurements=[row(0.4)], **STAMP)
    changed = [UNITS[1], UnitRow("u3", "dense", "train longer")]
    with Ledger.open(path, {**ABOUT, "plan_digest": "d2"}, changed) as ledger:
        assert ledger.done() == {"u1", "u2"}
        ledger.append("u3", variant=made, measurements=[], **STAMP)  # the same variant, made anew
    about, tables = read_tables(path)
    assert about["plan_digest"] == "d2"
    assert [unit[0] for unit in tables["unit"]] == ["u3", "u2"]
    assert [m[0] for m in tables["measurement"]] == ["u2"]
    assert [v[9] for v in tables["variant"]] == ["u3"]
    with Ledger.open(path, ABOUT, UNITS) as ledger:  # and back
        assert ledger.done() == {"u1", "u2", "u3"}
    tables = read_tables(path)[1]
    assert [m[6] for m in tables["measurement"]] == [0.5, 0.4]
    assert [v[9] for v in tables["variant"]] == ["u1"]


def test_what_a_unit_leaves_for_others_is_kept_with_it(tmp_path: Path) -> None:
    left = {"right": np.array([True, False]), "failed": np.array(["pgd: no"])}
    with Ledger.open(tmp_path / "run.sqlite", ABOUT, UNITS) as ledger:
        ledger.append("u1", part=left, **STAMP)
        found = ledger.part("u1")
        assert ledger.part("u2") is None
    assert found is not None
    assert {name: found[name].tolist() for name in found} == {name: left[name].tolist() for name in left}


def test_a_unit_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    twice = [row(), row(0.6)]
    with Ledger.open(path, ABOUT, UNITS) as ledger:
        with pytest.raises(sqlite3.IntegrityError):
            ledger.append("u1", variant=VariantRow("dense", 0, "dense", 0, 0), measurements=twice, **STAMP)
        assert ledger.done() == set()
        assert ledger.variant("u1") is None
    assert read_tables(path)[1]["measurement"] == []


def test_rows_of_a_unit_that_was_not_planned_are_refused(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "run.sqlite", ABOUT, UNITS) as ledger, pytest.raises(sqlite3.IntegrityError):
        ledger.append("unknown", measurements=[row()], **STAMP)


def test_a_failed_unit_is_not_done_and_its_rows_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    with Ledger.open(path, ABOUT, UNITS) as ledger:
        ledger.append("u1", measurements=[row(None, status="failed", note="boom")], error="boom", **STAMP)
        assert ledger.done() == set()
        ledger.append("u1", measurements=[row(0.7)], **STAMP)
        assert ledger.done() == {"u1"}
    _, tables = read_tables(path)
    assert [(m[6], m[10]) for m in tables["measurement"]] == [(0.7, "ok")]
    assert tables["unit"][0][6] is None


@pytest.mark.parametrize("field", ["value", "low", "high"])
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_figure_that_is_no_number_becomes_a_failed_row(tmp_path: Path, field: str, number: float) -> None:
    path = tmp_path / "run.sqlite"
    bad = MeasurementRow("dense", 0, "p", "m", {}, **{"value": 0.5, "low": 0.4, "high": 0.6, field: number})
    with Ledger.open(path, ABOUT, UNITS) as ledger:
        ledger.append("u1", measurements=[bad], **STAMP)
    measured = read_tables(path)[1]["measurement"][0]
    assert measured[6:9] == (None, None, None)
    assert measured[10] == "failed"
    assert "not finite" in measured[11]


@pytest.mark.parametrize(
    "bad", [row(None), row(0.5, status="failed"), row(0.5, low=0.6, high=0.7), row(0.5, low=0.1, high=0.2)]
)
def test_rows_that_contradict_themselves_are_refused(tmp_path: Path, bad: MeasurementRow) -> None:
    with Ledger.open(tmp_path / "run.sqlite", ABOUT, UNITS) as ledger:
        with pytest.raises(ValueError, match="accuracy"):
            ledger.append("u1", measurements=[bad], **STAMP)
        assert ledger.done() == set()


def test_missing_foreign_and_truncated_files_are_named_and_left_alone(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="does not exist"):
        read_tables(tmp_path / "run.sqlite")
    assert list(tmp_path.iterdir()) == []

    text = tmp_path / "text.sqlite"
    text.write_text("not a database " * 100)
    other = tmp_path / "other.sqlite"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE holiday (photo)")
    connection.commit()
    connection.close()
    whole = tmp_path / "whole.sqlite"
    with Ledger.open(whole, ABOUT, UNITS) as ledger:
        blob = {"score": np.random.default_rng(0).normal(size=20_000)}
        ledger.append("u1", measurements=[row(outcomes=blob)], **STAMP)
    cut = tmp_path / "cut.sqlite"
    cut.write_bytes(whole.read_bytes()[:6000])
    for path in (text, other, cut):
        before = path.read_bytes()
        with pytest.raises(LedgerError, match=path.name):
            read_tables(path)
        with pytest.raises(LedgerError, match=path.name):
            Ledger.open(path, ABOUT, UNITS)
        assert path.read_bytes() == before


def test_a_file_that_lost_rows_or_pages_is_refused_never_read_as_a_shorter_one(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    with Ledger.open(path, ABOUT, UNITS) as ledger:
        for unit in ("u1", "u2"):
            blob = {"score": np.random.default_rng(0).normal(size=20_000)}
            ledger.append(unit, measurements=[row(outcomes=blob)], **STAMP)
    whole = path.read_bytes()
    for length in range(0, len(whole), 4096):  # at page boundaries, where nothing else would show it
        path.write_bytes(whole[:length])
        with pytest.raises(LedgerError, match=r"run\.sqlite"):
            read_tables(path)
        if length:
            with pytest.raises(LedgerError, match=r"run\.sqlite"):
                Ledger.open(path, ABOUT, UNITS)
            assert path.read_bytes() == whole[:length]
    path.write_bytes(whole)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM every_measurement WHERE unit = 'u1'")
    with pytest.raises(LedgerError, match="train has not the rows that it wrote"):
        read_tables(path)
    with pytest.raises(LedgerError, match="train has not the rows that it wrote"):
        Ledger.open(path, ABOUT, UNITS)


def test_a_file_of_another_version_says_so(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    with Ledger.open(path, ABOUT, UNITS):
        pass
    connection = sqlite3.connect(path)
    connection.execute("UPDATE run SET value = '99' WHERE key = 'schema'")
    connection.commit()
    connection.close()
    with pytest.raises(LedgerError, match="schema 99"):
        read_tables(path)


def test_a_run_killed_before_its_first_table_can_begin_again(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    path.touch()
    with Ledger.open(path, ABOUT, UNITS) as ledger:
        assert ledger.done() == set()


def test_reading_leaves_nothing_beside_a_finished_run(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    with Ledger.open(path, ABOUT, UNITS) as ledger:
        ledger.append("u1", measurements=[row()], **STAMP)
    read_tables(path)
    assert [p.name for p in tmp_path.iterdir()] == ["run.sqlite"]


def test_a_run_in_progress_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    with Ledger.open(path, ABOUT, UNITS) as ledger:
        ledger.append("u1", measurements=[row()], **STAMP)
        assert len(read_tables(path)[1]["measurement"]) == 1


@given(
    st.dictionaries(st.text(), st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False))
)
def test_canonical_text_does_not_depend_on_order_and_reads_back(table: dict[str, object]) -> None:
    backwards = dict(reversed(list(table.items())))
    assert canonical(table) == canonical(backwards)
    assert json.loads(canonical(table)) == table


def test_evidence_packs_to_the_same_bytes() -> None:
    evidence = {"score": np.arange(5, dtype=np.float32), "member": np.array([True, False, True, False, True])}
    blob = pack(evidence)
    assert blob == pack(evidence)
    found = unpack(blob)
    assert found is not None
    assert all(np.array_equal(found[name], evidence[name]) for name in evidence)
    assert list(unpack(blob, ["score"]) or {}) == ["score"]
    assert unpack(pack(None)) is None
