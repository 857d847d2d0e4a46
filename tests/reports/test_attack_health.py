import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import pytest

from reports.data.health import TITLES, raised
from reports.data.ledger import Ledger, MeasurementRow, UnitRow, VariantRow
from reports.data.results import Results, read
from reports.draw.charts import charts
from reports.draw.style import INK, MUTED, PAPER, RULE, SERIES, STEPS

HOSTILE = "</text><script>alert(1)</script>$\\frac$_^\u202e" + "x" * 80
LIMIT = 0.05
COLOURS = {INK, MUTED, PAPER, RULE, *SERIES, *STEPS}


def build(folder: Path, values: Mapping[tuple[str, str, str], float | None]) -> Results:
    """A run with one flag row for each (variant, norm, flag)."""
    variants = list(dict.fromkeys(variant for variant, _, _ in values))
    units = [UnitRow(variant, "evasion", variant) for variant in variants]
    with Ledger.open(folder / "run.sqlite", {"plan_digest": "d"}, units) as ledger:
        for name in variants:
            rows = [
                MeasurementRow(
                    name, 0, "evasion", "attack_health", {"flag": flag, "norm": norm, "limit": LIMIT},
                    value, value, value, 100, "ok" if value is not None else "not_applicable", "why",
                )
                for (variant, norm, flag), value in values.items()
                if variant == name
            ]  # fmt: skip
            made = VariantRow(name, 0, name.split("@")[0], None, None)
            ledger.append(name, seconds=0, finished="", variant=made, measurements=rows)
    return read(folder)


def drawn(results: Results) -> list[str]:
    chart = charts()["attack_health"].draw(results)
    assert chart is not None
    return [panel.plot.svg(panel.alt) for panel in chart.panels]


def test_a_sign_is_crossed_named_and_in_the_table(tmp_path: Path) -> None:
    results = build(
        tmp_path,
        {
            ("dense", "linf", "zero_gradients"): 0.0,
            ("m@0.9", "linf", "zero_gradients"): 0.6,
            ("m@0.9", "linf", "noise_as_strong"): None,
            ("m@0.9", "l2", "zero_gradients"): LIMIT,
        },
    )
    chart = charts()["attack_health"].draw(results)
    assert chart is not None
    assert [panel.title for panel in chart.panels] == ["Signs of failing attacks, L∞"]  # in L2 there is none
    assert "m@0.9 (L∞)" in chart.caption
    assert TITLES["zero_gradients"] in chart.caption
    table = {(row[0].text, row[1].text): row[2:] for row in chart.table.rows}
    assert table["m@0.9", "L∞"][0].value == 0.6
    assert "in doubt" in table["m@0.9", "L∞"][0].text
    assert "in doubt" not in table["m@0.9", "L2"][0].text  # at the limit is not above it
    assert table["m@0.9", "L∞"][1].text == "not applicable"
    titles = re.findall(r"<title>(.*?)</title>", drawn(results)[0])
    assert titles == [f"m@0.9: {TITLES['zero_gradients']}"]


def test_all_is_well_says_so(tmp_path: Path) -> None:
    chart = charts()["attack_health"].draw(build(tmp_path, {("dense", "linf", "randomised"): 0.0}))
    assert chart is not None
    assert "none does." in chart.caption
    assert chart.panels == ()


def test_a_check_that_does_not_apply_is_not_counted(tmp_path: Path) -> None:
    values = {("dense", "linf", "randomised"): 0.0, ("dense", "linf", "zero_gradients"): None}
    chart = charts()["attack_health"].draw(build(tmp_path, values))
    assert chart is not None
    assert "Of 1 check of 1 model none does." in chart.caption


def test_it_is_small_well_formed_and_safe(tmp_path: Path) -> None:
    names = ["dense", HOSTILE, *(f"method-{i}@0.{j}" for i in range(8) for j in range(1, 8))]
    results = build(tmp_path, {(name, "linf", flag): 0.5 for name in names for flag in (*TITLES, HOSTILE)})
    marks = len(names) * (len(TITLES) + 1)
    for svg in drawn(results):
        assert len(svg.encode()) < 85 * marks
        assert "<script" not in svg
        assert "\u202e" not in svg
        assert ET.fromstring(svg).attrib["role"] == "img"
        assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) == set()
        assert set(re.findall(r"var\((--[a-z0-9-]+)\)", svg)) <= COLOURS
    assert drawn(results) == drawn(results)


def test_no_checks_no_chart(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "run.sqlite", {"plan_digest": "d"}, []):
        pass
    assert charts()["attack_health"].draw(read(tmp_path)) is None


def test_a_union_of_norms_is_in_doubt_where_a_norm_is(tmp_path: Path) -> None:
    results = build(tmp_path, {("m@0.9", "l2", "randomised"): 1.0})
    assert set(raised(results)) == {("m@0.9", "l2")}
    units = [UnitRow(name, "evasion", name) for name in ("m@0.9", "u")]
    with Ledger.open(tmp_path / "run.sqlite", {"plan_digest": "d"}, units) as ledger:
        at = {"norm": "union", "eps": 0.1, "attack": "worst_case"}
        row = MeasurementRow("m@0.9", 0, "evasion", "robust_accuracy", at, 0.5, 0.4, 0.6, 100)
        ledger.append("u", seconds=0, finished="", measurements=[row])
    assert set(raised(read(tmp_path))) == {("m@0.9", "l2"), ("m@0.9", "union")}


@pytest.mark.parametrize("count", [1, 60])
def test_many_variants_are_drawn_doubtful_ones_first(tmp_path: Path, count: int) -> None:
    values = {(f"m@{i}", "linf", "randomised"): float(i == count - 1) for i in range(count)}
    chart = charts()["attack_health"].draw(build(tmp_path, values))
    assert chart is not None
    svg = chart.panels[0].plot.svg("alt")
    labels = set(re.findall(r">(m@\d+)</text>", svg))
    assert labels == {f"m@{count - 1}"}
    assert len(chart.table.rows) == count


def test_names_of_variants_stand_upright_so_that_they_do_not_overlap(tmp_path: Path) -> None:
    names = ["dense", "global-magnitude@0.9", "global-magnitude@0.95"]
    (panel,) = drawn(build(tmp_path, {(name, "linf", "zero_gradients"): 1.0 for name in names}))
    for name in names:
        text = next(
            e for e in ET.fromstring(panel).iter() if e.tag.endswith("text") and "".join(e.itertext()) == name
        )
        assert "rotate(-90" in f"{text.get('transform')}{text.get('style')}", ET.tostring(text)
