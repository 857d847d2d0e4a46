"""measurements.parquet: read back by pandas it says what the results file says, condition by condition."""

import io
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from reports.data.ledger import Ledger, MeasurementRow, UnitRow, VariantRow
from reports.data.results import read
from reports.exports import parquet
from reports.write import write


def test_every_figure_comes_back_with_its_conditions(tmp_path: Path, synthetic: ModuleType) -> None:
    folder = synthetic.build(tmp_path / "run", seeds=[0, 1], methods=["m"], sparsities=[0.5], n=50)
    assert write(folder, ["parquet"]) == [folder / "measurements.parquet"]
    back, rows = pd.read_parquet(folder / "measurements.parquet"), read(folder).measurements
    assert len(back) == len(rows)
    for name in ("variant", "metric", "status", "note"):
        assert list(back[name].fillna("")) == list(rows[name].fillna("")), name
    for name in ("value", "low", "high", "sparsity"):
        pd.testing.assert_series_equal(back[name], rows[name], check_index=False, check_names=False)
    for conditions, (_, row) in zip(rows["conditions"], back.iterrows(), strict=True):
        there = {k: row[k] for k in back.columns.difference([*parquet.MODEL, *parquet.FIGURE])}
        assert {k: v for k, v in there.items() if pd.notna(v)} == conditions
    assert back["eps"].dtype == float
    assert back["n"].dtype == "Int64"


def test_conditions_of_several_types_and_hostile_text_are_kept(tmp_path: Path) -> None:
    name = "</script>\u202e'\"\\\x01ω"
    with Ledger.open(tmp_path / "run.sqlite", {"plan_digest": "d"}, [UnitRow("u", "p", "l")]) as ledger:
        ledger.append(
            "u", variant=VariantRow(name, 0, "+m", 0.5, 0.5), seconds=1, finished="",
            measurements=[
                MeasurementRow(name, 0, "p", "m", {"k": 1, "flag": True}, value=-1.5),
                MeasurementRow(name, 0, "p", "m", {"k": "one", "list": [1, 2]}, value=2.0, note=name),
            ],
        )  # fmt: skip
    write(tmp_path, ["parquet"])
    back = pd.read_parquet(tmp_path / "measurements.parquet").sort_values("value")
    assert list(back["k"]) == ["1", '"one"']
    assert back["flag"].dropna().tolist() == ["true"]
    assert back["list"].dropna().tolist() == ["[1, 2]"]
    assert back["variant"].tolist() == [name, name]
    assert back["note"].iloc[1] == name


def test_an_empty_run_has_its_columns(tmp_path: Path, synthetic: ModuleType) -> None:
    folder = synthetic.build(tmp_path / "run", seeds=[0], methods=[], n=20, control=False)
    results = read(folder)
    content = parquet.render(replace(results, measurements=results.measurements.iloc[:0]))
    back = pd.read_parquet(io.BytesIO(content))
    assert list(back) == [*parquet.MODEL, *parquet.FIGURE]


def test_without_an_engine_it_says_what_to_install(
    tmp_path: Path, synthetic: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "ENGINES", ("no_such_engine",))
    folder = synthetic.build(tmp_path / "run", seeds=[0], methods=[], n=20, control=False)
    with pytest.raises(parquet.NoParquetError, match=r"pip install 'prune-audit\[parquet\]'"):
        write(folder, ["parquet"])
