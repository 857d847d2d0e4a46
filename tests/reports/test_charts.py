import itertools
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType

import pytest

from reports.data.key import extraction
from reports.data.ledger import Ledger, MeasurementRow, UnitRow, VariantRow
from reports.data.results import Results, read
from reports.draw.charts import Entry, charts
from reports.draw.plots import against_sparsity, lines, place
from reports.draw.style import INK, MUTED, PAPER, RULE, SERIES, STEPS, series, step
from reports.draw.svg import Plot
from reports.language.metrics import LUCK

NAMES = [
    "clean_accuracy", "robustness_curves", "membership_leakage", "extraction_fidelity", "size_and_latency",
    "robust_accuracy", "methods_side_by_side", "size_against_risk", "dense_to_pruned", "class_drops",
    "attacks_in_turn", "membership_roc", "membership_exposed", "fidelity_by_queries",
]  # fmt: skip
COLOURS = {INK, MUTED, PAPER, RULE, *SERIES, *STEPS}
HOSTILE = "</text><script>alert(1)</script>$\\frac$_^\u202e" + "x" * 200


@pytest.fixture(params=NAMES)
def entry(request: pytest.FixtureRequest) -> Entry:
    return charts()[request.param]


def svgs(entry: Entry, results: Results) -> list[str]:
    chart = entry.draw(results)
    assert chart is not None
    return [panel.plot.svg(panel.alt) for panel in chart.panels]


@pytest.mark.parametrize("name", ["membership_leakage", "extraction_fidelity"])
def test_a_trained_attackers_figure_says_that_its_interval_lacks_the_attackers_luck(
    name: str, results: Results
) -> None:
    chart = charts()[name].draw(results)
    assert chart is not None
    assert chart.caption.endswith(LUCK)


def test_charts_are_found_by_their_files_in_order() -> None:
    found = charts()
    assert list(found) == sorted(found, key=lambda name: (found[name].order, name))
    apart = {"attack_health", "accuracy_by_flips", "flips_by_sparsity"}  # which have runs of their own
    assert set(found) == {*NAMES, *apart}
    assert all(entry.title and entry.section for entry in found.values())


def test_a_chart_is_small_well_formed_and_the_same_every_time(entry: Entry, results: Results) -> None:
    first, second = svgs(entry, results), svgs(entry, results)
    assert first == second
    for svg in first:
        assert len(svg.encode()) < 60_000
        root = ET.fromstring(svg)
        assert root.attrib["role"] == "img"
        assert len(root.attrib["aria-label"]) > 40
        assert not re.search(r"(href|src)=\"(?!#)", svg)
        assert "<style" not in svg


def test_every_colour_is_a_variable(entry: Entry, results: Results) -> None:
    for svg in svgs(entry, results):
        assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) == set()
        assert set(re.findall(r"var\((--[a-z0-9-]+)\)", svg)) <= COLOURS


def lines_in(plot: Plot) -> list[list[float]]:
    """The values that the lines of a picture stand for, read back from their pixels."""
    found = []
    for path in re.findall(r'<path d="M([^"z]+)" fill="none"', plot.svg("")):
        heights = [float(spot.split()[1]) for spot in path.split("L")]
        share = [(plot.bottom - height) / (plot.bottom - plot.top) for height in heights]
        found.append([plot.y.low + part * (plot.y.high - plot.y.low) for part in share])
    return found


def test_a_picture_has_no_ids_that_could_meet_others_on_the_page(entry: Entry, results: Results) -> None:
    assert not [svg for svg in svgs(entry, results) if " id=" in svg or "href" in svg or "url(" in svg]


def test_the_table_holds_what_is_drawn(results: Results) -> None:
    chart = charts()["clean_accuracy"].draw(results)
    assert chart is not None
    plot, rows = chart.panels[0].plot, {row[0].text: row for row in chart.table.rows}
    line = next(values for values in lines_in(plot) if len(values) == 4)
    pixel = (plot.y.high - plot.y.low) / (plot.bottom - plot.top)
    names = [f"filter-l2@{s:g}" for s in (0.5, 0.75, 0.9, 0.95)]
    assert line == pytest.approx([rows[name][2].value for name in names], abs=0.1 * pixel)
    said = re.findall(r"<title>filter-l2 at [^:]+: (.*?) \((.*?)\)</title>", plot.svg(""))
    assert said == [(rows[name][2].text, rows[name][3].text) for name in names]
    mean = results.select("accuracy", {"split": "test"}, variant="dense")["value"].mean()
    assert rows["dense"][2].value == pytest.approx(mean)


def test_every_chart_survives_a_model_alone(entry: Entry, tmp_path: Path, synthetic: ModuleType) -> None:
    alone = read(synthetic.build(tmp_path, methods=[], control=False, seeds=[0]))
    chart = entry.draw(alone)
    if entry.name in ("robustness_curves", "attacks_in_turn", "fidelity_by_queries"):
        assert chart is not None
        assert len(chart.panels) == 1
        assert "dense" in chart.panels[0].plot.svg("")
    else:
        assert chart is None


def test_every_chart_survives_one_seed(entry: Entry, tmp_path: Path, synthetic: ModuleType) -> None:
    one = read(synthetic.build(tmp_path, seeds=[4], methods=["m"]))
    chart = entry.draw(one)
    assert chart is not None
    assert "One training seed" in chart.caption
    svgs(entry, one)


def test_every_chart_survives_an_empty_run(entry: Entry, tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "run.sqlite", {"plan_digest": "d"}, []):
        pass
    assert entry.draw(read(tmp_path)) is None


def test_every_chart_survives_failed_figures(entry: Entry, tmp_path: Path, synthetic: ModuleType) -> None:
    """All figures of one variant fail; one has an achieved sparsity that nobody knows."""
    folder = synthetic.build(tmp_path, seeds=[0], methods=["m"], sparsities=[0.5, 0.9])
    units = synthetic.planned(folder, *(UnitRow(f"x{i}", "p", "x") for i in range(2)))
    with Ledger.open(folder / "run.sqlite", {"plan_digest": synthetic.DIGEST}, units) as ledger:
        for unit, name in zip(("x0", "x1"), ("m@0.99", "mine"), strict=True):
            rows = [
                MeasurementRow(name, 0, "p", metric, {}, float("nan"))
                for metric in (
                    "accuracy",
                    "robust_accuracy",
                    "membership_auc",
                    "extraction_fidelity",
                    "bytes",
                )
            ]
            made = VariantRow(name, 0, "m" if unit == "x0" else "checkpoint", None, None)
            ledger.append(unit, variant=made, measurements=rows, seconds=0, finished="")
    found = read(folder)
    chart = entry.draw(found)
    assert chart is not None
    svgs(entry, found)


def test_every_chart_survives_sixty_variants(entry: Entry, many: Results) -> None:
    assert all(len(svg.encode()) < 90_000 for svg in svgs(entry, many))


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, synthetic: ModuleType) -> Results:
    methods = [f"method-{i}" for i in range(10)]
    folder = tmp_path_factory.mktemp("many")
    return read(
        synthetic.build(folder, methods=methods, sparsities=(0.3, 0.5, 0.7, 0.9, 0.95, 0.98), seeds=[0], n=60)
    )


def test_hostile_names_are_text(entry: Entry, tmp_path: Path, synthetic: ModuleType) -> None:
    found = read(
        synthetic.build(tmp_path, seeds=[0, 1], methods=[HOSTILE, "مرحبا", "$x^"], sparsities=[0.5], n=60)
    )
    for svg in svgs(entry, found):
        assert "<script" not in svg
        assert "\u202e" not in svg
        assert "<ns0:script" not in ET.tostring(ET.fromstring(svg), encoding="unicode")


def test_a_checkpoint_of_the_users_own_stands_alone(tmp_path: Path, synthetic: ModuleType) -> None:
    folder = synthetic.build(tmp_path, seeds=[0], methods=["m"])
    units = synthetic.planned(folder, UnitRow("c", "p", "c"))
    with Ledger.open(folder / "run.sqlite", {"plan_digest": synthetic.DIGEST}, units) as ledger:
        row = MeasurementRow("edge-90", 0, "accuracy", "accuracy", {"split": "test"}, 0.9, 0.88, 0.92, 500)
        ledger.append(
            "c",
            variant=VariantRow("edge-90", 0, "checkpoint", None, 0.9),
            measurements=[row],
            seconds=0,
            finished="",
        )
    found = read(folder)
    from reports.data.aggregate import figures

    drawn = lines(found, figures(found, "accuracy", {"split": "test"}))
    assert [(line.name, len(line.points)) for line in drawn] == [("edge-90", 1), ("m", 4)]


def test_sparsities_stand_apart_on_the_axis() -> None:
    spots = [place(s) for s in (0.5, 0.75, 0.9, 0.95, 0.99)]
    assert spots[0] == pytest.approx(0.30103)
    assert all(b - a > 0.25 for a, b in itertools.pairwise(spots))
    assert place(1.0) == 4.0


def test_looks_differ() -> None:
    assert len({series(i) for i in range(56)}) == 56
    assert len({step(i, 8) for i in range(8)}) == 8
    assert [step(i, 3).colour for i in range(3)] == [step(0, 1).colour, step(4, 8).colour, step(7, 8).colour]


def test_baselines_are_drawn_as_means_over_methods(results: Results) -> None:
    key = extraction(results)
    assert key is not None
    own = {"attack": "same_data", "labelled": key.at["queries"]}
    panel = against_sparsity(results, key.metric, key.at, title="t", extra=[("own labels", own)])
    assert panel is not None
    expected = []
    for sparsity in (0.5, 0.75, 0.9, 0.95):
        rows = results.select(key.metric, own)
        expected.append(rows[(rows["sparsity"] == sparsity)]["value"].mean())
    assert any(y == pytest.approx(expected, abs=1e-3) for y in lines_in(panel.plot) if len(y) == 4)
