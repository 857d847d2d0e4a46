"""Weight tampering on the page: its charts, its tile and its words, from a run of its own."""

import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from reports.data.ledger import Ledger, MeasurementRow, UnitRow
from reports.data.results import Results, read
from reports.draw.charts import charts
from reports.families import families, keys
from reports.families.tampering import key
from reports.language import words
from reports.page.render import render

FLIPS = (1, 2, 3, 5, 10)
ON: dict[str, str | int | float] = {"attack": "trigger"}
INT8: dict[str, str | int | float] = {"storage": "int8"}


def built(folder: Path, synthetic: ModuleType, rows: list[MeasurementRow]) -> Results:
    made = Path(synthetic.build(folder, seeds=[0], methods=["m"], sparsities=[0.5, 0.9], n=60))
    units = synthetic.planned(made, UnitRow("t", "tampering", "t"))
    with Ledger.open(made / "run.sqlite", {"plan_digest": synthetic.DIGEST}, units) as ledger:
        ledger.append("t", measurements=rows, seconds=1, finished="")
    return read(made)


def accuracy(variant: str, value: float, **at: str | int | float) -> MeasurementRow:
    hits = np.arange(60) < round(60 * value)
    return MeasurementRow(
        variant, 0, "tampering", "tampering_accuracy", at, hits.mean(), max(0.0, value - 0.1),
        min(1.0, value + 0.1), 60, outcomes={"correct": hits},
    )  # fmt: skip


def measured(*, reached: bool = True) -> list[MeasurementRow]:
    rows = []
    for variant, strength in (("dense", 1.0), ("m@0.5", 0.8), ("m@0.9", 0.5)):
        rows += [
            accuracy(variant, 0.9 * 0.5 ** (k / 5 / strength), attack="progressive", storage="int8", flips=k)
            for k in FLIPS
        ]
        rows.append(accuracy(variant, 0.9, attack="bit_flip", storage="int8", rate=0.0))
        rows.append(accuracy(variant, 0.8, attack="bit_flip", storage="int8", rate=0.01))
        for metric, value in (("tampering_flips", 5 * strength), ("tampering_flips_per_million", 90.0)):
            at = {"attack": "progressive", "storage": "int8", "goal": "50 points"}
            rows.append(
                MeasurementRow(variant, 0, "tampering", metric, at, value, value - 1, value + 1, 60)
                if reached
                else MeasurementRow(variant, 0, "tampering", metric, at, status="refused", note="not reached")
            )
    return rows


@pytest.fixture
def run(tmp_path: Path, synthetic: ModuleType) -> Results:
    return built(tmp_path / "run", synthetic, measured())


def test_charts_of_tampering_have_every_variant_and_a_log_axis(run: Results) -> None:
    by_flips = charts()["accuracy_by_flips"].draw(run)
    assert by_flips is not None
    assert [row[0].text for row in by_flips.table.rows] == ["dense", "m@0.5", "m@0.9"]
    assert by_flips.table.columns == ("Variant", "1 flip", *(f"{k} flips" for k in FLIPS[1:]))
    (panel,) = by_flips.panels
    assert "dense: 78.3% at 1, 23.3% at 10" in panel.alt
    assert panel.plot.svg(panel.alt) == panel.plot.svg(panel.alt)
    needed = charts()["flips_by_sparsity"].draw(run)
    assert needed is not None
    assert [panel.title for panel in needed.panels] == [
        "Flips in the whole model", "Flips per million surviving weights",
    ]  # fmt: skip


def test_goals_that_no_model_reaches_draw_no_chart(tmp_path: Path, synthetic: ModuleType) -> None:
    results = built(tmp_path / "run", synthetic, measured(reached=False))
    assert charts()["flips_by_sparsity"].draw(results) is None
    assert charts()["accuracy_by_flips"].draw(results) is not None
    assert "to lose 50 points, stored as int8</td><td>refused</td><td>not reached" in render(results)


def test_runs_without_tampering_draw_nothing(results: Results) -> None:
    assert charts()["accuracy_by_flips"].draw(results) is None
    assert charts()["flips_by_sparsity"].draw(results) is None


def test_the_search_stands_for_the_run_where_dense_keeps_half(run: Results) -> None:
    found = key(run)
    assert found is not None
    assert found.at == {"attack": "progressive", "storage": "int8", "flips": 5}
    assert found.label == "accuracy after 5 chosen bit flips"
    assert "tampering" in [k.family for k in keys(run)]
    page = render(run)
    tile = re.search(r"Do a few changed weights break it\?.*?</article>", page, re.DOTALL)
    assert tile is not None
    assert "NOT RUN" not in tile[0]


def test_faults_and_a_trigger_stand_for_a_run_without_a_search(tmp_path: Path, synthetic: ModuleType) -> None:
    faults = [row for row in measured() if row.at.get("attack") == "bit_flip"]
    found = key(built(tmp_path / "faults", synthetic, faults))
    assert found is not None
    assert found.at == {"attack": "bit_flip", "storage": "int8", "rate": 0.01}  # not the untouched model
    rows = [
        MeasurementRow(variant, 0, "tampering", "tampering_success", ON | {"on": on}, value, n=60)
        for variant, on, value in (
            ("dense", "triggered", 0.0), ("dense", "clean", 0.0), ("m@0.5", "triggered", 1.0),
            ("m@0.5", "clean", 0.1), ("m@0.9", "triggered", 1.0),
        )
    ]  # fmt: skip
    results = built(tmp_path / "trigger", synthetic, rows)
    found = key(results)
    assert found is not None
    assert found.at == {"attack": "trigger", "on": "triggered"}
    page = render(results)
    tile = re.search(r"Do a few changed weights break it\?.*?</article>", page, re.DOTALL)
    assert tile is not None
    assert "100.0%" in tile[0]
    assert key(built(tmp_path / "none", synthetic, [])) is None


def test_the_familys_metrics_are_those_of_the_probe() -> None:
    from attacks.tampering import CARD

    assert families()["tampering"].metrics == CARD.metrics


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ({"attack": "progressive", "flips": 1, **INT8}, "progressive bit search, 1 flip, stored as int8"),
        ({"attack": "bit_flip", "rate": 0.0, **INT8}, "random bit flips, untouched, stored as int8"),
        ({"attack": "bit_flip", "rate": 0.001}, "random bit flips, 0.001 of all bits"),
        ({"attack": "progressive", "goal": "chance"}, "progressive bit search, to chance"),
        ({"attack": "weight_change", "norm": "l2", "where": "mask", "goal": "5 points"},
         "L2, small changes of all weights, to lose 5 points, within the mask"),
        ({"attack": "targeted", "source": 0, "target": 1, "on": "rest"},
         "targeted bit search, on the other classes, class 0 taken for 1"),
        ({"attack": "trigger", "on": "triggered"}, "the user’s trigger, with it"),
        ({"goal": 3, "flips": "x", "rate": "y", "on": 5, "where": 7}, "flips = x, to lose 3, 5, rate = y, 7"),
        ({"target": 3}, "target = 3"),
    ],
)  # fmt: skip
def test_conditions_have_words(at: dict[str, object], said: str) -> None:
    assert words.conditions(at) == said
