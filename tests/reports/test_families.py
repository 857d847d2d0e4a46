"""Families and standards: found by being there, whole, and known to the page."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from attacks.registry import probes
from reports import families as package
from reports.data.ledger import Ledger, MeasurementRow, UnitRow
from reports.data.results import Results, read
from reports.families import families, keys, probe_of
from reports.page.render import render
from reports.story.standards import catalogues, relevance, standards

BACKDOOR = """
from reports.families import Family
from reports.data.key import Key


def key(results):
    if results.select("backdoor_rate").empty:
        return None
    return Key("backdoor", "backdoor_rate", {"trigger": "patch"}, "backdoor rate")


FAMILY = Family(
    probe="backdoor", title="Backdoors", order=60, question="Does a hidden trigger steer it?",
    metrics=("backdoor_rate",), key=key, stake="Someone else decides.", remedies=("Retrain.",),
)
"""


@pytest.fixture
def backdoor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A family that comes in by one new file."""
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "backdoor.py").write_text(BACKDOOR, encoding="utf-8")
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    families.cache_clear()
    yield
    families.cache_clear()
    sys.modules.pop("reports.families.backdoor", None)


def run(folder: Path, synthetic: ModuleType) -> Path:
    return Path(synthetic.build(folder, seeds=[0], methods=["m"], sparsities=[0.5], n=60))


def test_every_file_is_a_family_in_order() -> None:
    names = {path.stem for path in Path(package.__file__).parent.glob("*.py")} - {"__init__"}
    assert set(families()) == names
    assert list(families()) == ["accuracy", "evasion", "membership", "extraction", "tampering"]
    for family in families().values():
        assert family.question.endswith("?")
        assert family.stake
        assert family.remedies


@pytest.mark.usefixtures("backdoor")
def test_a_new_family_has_its_section_and_tile_though_nothing_ran(
    tmp_path: Path, synthetic: ModuleType
) -> None:
    page = render(read(run(tmp_path / "run", synthetic)))
    section = page[page.index('<section id="probe-backdoor"') :]
    assert "NOT RUN" in section[: section.index("</section>")]
    assert "Does a hidden trigger steer it?" in page[: page.index("<nav")]


@pytest.mark.usefixtures("backdoor")
def test_a_new_family_that_ran_has_its_figure_in_its_tile(tmp_path: Path, synthetic: ModuleType) -> None:
    folder = run(tmp_path / "run", synthetic)
    rows = [
        MeasurementRow(name, 0, "backdoor", "backdoor_rate", {"trigger": "patch"}, value, n=60)
        for name, value in (("dense", 0.125), ("m@0.5", 0.625))
    ]
    units = synthetic.planned(folder, UnitRow("b", "backdoor", "b"))
    with Ledger.open(folder / "run.sqlite", {"plan_digest": synthetic.DIGEST}, units) as ledger:
        ledger.append("b", measurements=rows, seconds=1, finished="")
    results = read(folder)
    assert [key.family for key in keys(results)][-1] == "backdoor"
    assert probe_of(results, "backdoor_rate") == "backdoor"
    page = render(results)
    tile = page[
        page.index("Does a hidden trigger") : page.index("</article>", page.index("Does a hidden trigger"))
    ]
    assert re.findall(r'<data value="([^"]+)"', tile) == ["0.625", "0.125"]
    assert "none in this policy" in tile


def test_a_metric_without_rows_still_has_its_probe(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "run.sqlite", {"plan_digest": "d"}, []):
        pass
    empty = read(tmp_path)
    assert probe_of(empty, "tampering_flips") == "tampering"
    assert probe_of(empty, "nothing") is None


def test_the_table_of_standards_is_whole() -> None:
    known = {catalogue.name for catalogue in catalogues()}
    ids = [standard.id for standard in standards()]
    assert len(ids) == len(set(ids))
    for standard in standards():
        assert standard.catalogue in known
        assert standard.url.startswith("https://")
        assert set(standard.families) <= {*families(), "files"}
    for catalogue in catalogues():
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", catalogue.checked)
        assert catalogue.checked_against
    assert {"MITRE ATLAS", "CWE"} <= known
    for family in families().values():
        assert standards(family.probe), family.probe


def test_every_id_on_a_probes_card_is_in_the_table() -> None:
    known = {standard.id for standard in standards()}
    for name, probe in probes().items():
        assert set(probe.card.ids) <= known, name
        assert set(probe.card.ids) <= {standard.id for standard in standards(name)}, name


def test_evidence_says_what_was_not_measured(results: Results) -> None:
    found = {r.standard.id: dict(r.evidence) for r in relevance(results)}
    assert found["AML.T0043"] == {"Evasion": True}
    assert found["AML.T0018.000"] == {"Weight tampering": False}
    assert list(found["CWE-502"].values()) == [True]
