import csv
import io
import json
import shutil
import sqlite3
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from reports import write as writing
from reports.data.ledger import Ledger, LedgerError, MeasurementRow, UnitRow, VariantRow
from reports.data.results import Results, read
from reports.exports import exports, pdf, png
from reports.exports.csv import render
from reports.gate.judge import judge
from reports.gate.policy import preset
from reports.write import write

COLUMNS = "variant,method,sparsity,achieved_sparsity,seed,probe,metric,at,value,low,high,n,status,note"


def test_csv_has_the_agreed_columns_and_every_row_of_the_file(results: Results, run_folder: Path) -> None:
    text = render(results)
    assert text.splitlines()[0] == COLUMNS
    rows = list(csv.DictReader(io.StringIO(text)))
    db = sqlite3.connect(run_folder / "run.sqlite")
    stored = {
        (v, str(s), p, m, json.dumps(json.loads(a), sort_keys=True)): (value, low, high, n, status, note)
        for v, s, p, m, a, value, low, high, n, status, note in db.execute(
            "SELECT variant, seed, probe, metric, at, value, low, high, n, status, note FROM measurement"
        )
    }
    db.close()
    assert len(rows) == len(stored)
    for row in rows:
        at = json.dumps(json.loads(row["at"]), sort_keys=True)
        value, low, high, n, status, note = stored[
            row["variant"], row["seed"], row["probe"], row["metric"], at
        ]
        for text_of, number in ((row["value"], value), (row["low"], low), (row["high"], high), (row["n"], n)):
            assert (float(text_of) if text_of else None) == number
        assert (row["status"], row["note"]) == (status, note)


def test_csv_text_cannot_become_a_formula_and_numbers_stay_numbers(tmp_path: Path) -> None:
    name = "=HYPERLINK(0)"
    with Ledger.open(tmp_path / "run.sqlite", {"plan_digest": "d"}, [UnitRow("u", "p", "l")]) as ledger:
        ledger.append(
            "u", variant=VariantRow(name, 0, "+m", 0.5, 0.5), seconds=1, finished="",
            measurements=[MeasurementRow(name, 0, "p", "m", value=-1.5, note='-"quoted",\nnew line')],
        )  # fmt: skip
    row = next(csv.DictReader(io.StringIO(render(read(tmp_path)))))
    assert (row["variant"], row["method"]) == (f"'{name}", "'+m")
    assert row["value"] == "-1.5"
    assert row["note"] == '\'-"quoted",\nnew line'


def test_formats_are_found_by_their_files() -> None:
    files = {name: export.file for name, export in exports().items()}
    assert list(files) == [
        "csv", "cyclonedx", "html", "in-toto", "json", "junit", "markdown", "model-card", "parquet", "pdf",
        "png", "sarif",
    ]  # fmt: skip
    assert len(set(files.values())) == len(files)


def test_write_puts_both_files_beside_the_run(tmp_path: Path, synthetic: ModuleType) -> None:
    folder = synthetic.build(tmp_path / "a run", methods=[], seeds=[0])
    assert write(folder) == [folder / "report.html", folder / "measurements.csv"]
    assert sorted(p.name for p in folder.iterdir()) == ["measurements.csv", "report.html", "run.sqlite"]
    assert (folder / "measurements.csv").read_bytes() == render(read(folder)).encode()
    assert write(folder, ["csv"]) == [folder / "measurements.csv"]


def test_write_refuses_unknown_formats_and_missing_runs(tmp_path: Path, run_folder: Path) -> None:
    with pytest.raises(ValueError, match="unknown format 'docx': choose from csv, "):
        write(run_folder, ["docx"])
    with pytest.raises(LedgerError):
        write(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def broken(self: Path, target: Path) -> Path:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        writing.replace(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_the_figures_are_a_picture_with_the_same_bytes_twice(results: Results, tmp_path: Path) -> None:
    first = png.render(results)
    with Image.open(io.BytesIO(first)) as picture:
        assert (picture.format, picture.size) == ("PNG", (1800, 1300))
        assert len(picture.convert("RGB").getcolors(2**24) or ()) > 50  # something is drawn
    assert png.render(results) == first
    with Ledger.open(tmp_path / "run.sqlite", {"plan_digest": "d"}, [UnitRow("u", "p", "l")]):
        pass
    assert png.render(read(tmp_path)).startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["_hidden", "$x^$", "a" * 500, "</script>"])
def test_a_method_s_name_is_text_in_the_figures(name: str) -> None:
    assert not png._label(name).startswith("_")
    assert "$" not in png._label(name).replace(r"\$", "")
    assert len(png._label(name)) <= 70


def test_a_pdf_is_printed_where_there_is_a_browser(browser: Any, results: Results) -> None:
    """``browser``: one is found or installed for the tests, and never missing in CI."""
    del browser
    if not any(shutil.which(name) for name in pdf.BROWSERS):
        pytest.skip("the tests' browser is Playwright's own, which is not on the path")
    content = pdf.render(results, judge(results, preset("standard")))
    assert content.startswith(b"%PDF-")
    assert len(content) > 100_000


def test_without_a_browser_a_pdf_is_refused_with_the_remedy(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CHROME", raising=False)
    before = sorted(p.name for p in run_folder.iterdir())
    with pytest.raises(pdf.NoBrowserError, match="no Chromium or Chrome is installed; install one"):
        write(run_folder, ["pdf"])
    assert sorted(p.name for p in run_folder.iterdir()) == before
