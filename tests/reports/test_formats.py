"""Every written format, of every kind of run, against its schema and against hostile names."""

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import xmlschema
import yaml
from referencing import Registry, Resource

from reports.exports import export
from reports.exports.json import SCHEMA
from reports.gate import Verdicts, judge
from reports.ledger import Ledger, MeasurementRow, UnitRow, VariantRow
from reports.policy import parse, preset
from reports.results import Results, read

SCHEMAS = Path(__file__).parent / "schemas"
FORMATS = ("json", "markdown", "sarif", "junit", "model-card", "cyclonedx", "in-toto")
HOSTILE = (
    "</script><img src=x onerror=alert(1)>|`[a](javascript:x) @team \"'&]]>\u202e\x00\ud7ff\ufffe\n# x "
    + "w" * 200
)
Judged = tuple[Results, Verdicts]


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SCHEMAS / name).read_text(encoding="utf-8"))
    return found


def _text(name: str, run: Judged, baseline: Results | None = None) -> str:
    made = export(name).render(*run, baseline)
    assert isinstance(made, str)
    return made


@pytest.fixture(scope="session")
def judged(
    synthetic: ModuleType, cases: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Judged]:
    """Each case with its verdicts under the policy that makes it what it is."""
    found = {}
    for name, make in cases.CASES.items():
        folder = tmp_path_factory.mktemp("case")
        policy = make(synthetic, folder)
        results = read(folder)
        found[name] = (results, judge(results, policy))
    return found


@pytest.fixture
def hostile(tmp_path: Path) -> Judged:
    """Names, notes and facts that would be markup, and a policy with a waiver of the kind."""
    policy = parse(
        '[[rule]]\nid = "r"\nmetric = "accuracy"\nmin = 0.9\ndescription = "<b>|@team</b>"\n'
        '[[rule]]\nid = "q"\nmetric = "accuracy"\nmin = 0.1\n'
        '[[rule]]\nid = "w"\nmetric = "accuracy"\nmin = 0.95\n'
        '[[waiver]]\nrule = "w"\nvariant = "*"\nexpires = 2999-01-01\nreason = "<script>|"\n',
        "a folder/<policy>.toml",
    )  # fmt: skip
    facts = {
        "plan_digest": "d", "plan_name": HOSTILE,
        "subject": {"data_source": HOSTILE, "architecture": HOSTILE},
    }  # fmt: skip
    with Ledger.open(tmp_path / "run.sqlite", facts, [UnitRow(str(i), "p", "l") for i in range(2)]) as ledger:
        at = {"split": "test", HOSTILE: HOSTILE}
        rows = [MeasurementRow(HOSTILE, 0, "accuracy", "accuracy", at, 0.5, 0.45, 0.55, 100, note=HOSTILE)]
        made = VariantRow(HOSTILE, 0, HOSTILE, None, None, digest="0" * 64)
        ledger.append("0", variant=made, measurements=rows, seconds=1, finished="")
        bad = MeasurementRow(
            HOSTILE, 1, "accuracy", "accuracy", {"split": "test"}, status="failed", note=HOSTILE
        )
        ledger.append(
            "1", variant=VariantRow(HOSTILE, 1, HOSTILE, 0.5, 0.5), measurements=[bad], seconds=1, finished=""
        )
    results = read(tmp_path)
    return results, judge(results, policy, today=date(2026, 1, 1))


def check_json(text: str) -> None:
    published = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(published)
    jsonschema.Draft202012Validator(published).validate(json.loads(text, parse_constant=pytest.fail))


def check_sarif(text: str) -> None:
    log = json.loads(text)
    jsonschema.Draft4Validator(schema("sarif-2.1.0.json")).validate(log)
    driver = log["runs"][0]["tool"]["driver"]
    for result in log["runs"][0]["results"]:  # what GitHub asks beyond the schema
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"]
        assert len(result["locations"]) == 1
        assert result["locations"][0]["physicalLocation"]["region"]["startLine"] >= 1
        assert result["partialFingerprints"]
    for rule in driver["rules"]:
        assert 0 < float(rule["properties"]["security-severity"]) <= 10
        assert isinstance(rule["properties"]["security-severity"], str)
        assert all(rule[key]["text"] for key in ("shortDescription", "fullDescription", "help"))
        assert len(rule["fullDescription"]["text"]) <= 1024


def check_junit(text: str) -> None:
    xmlschema.XMLSchema(str(SCHEMAS / "junit-10.xsd")).validate(ET.fromstring(text))


def check_cyclonedx(text: str) -> None:
    parts = [schema(f"{name}.SNAPSHOT.schema.json") for name in ("bom-1.6", "spdx", "jsf-0.82")]
    registry: Registry[Any] = Registry().with_resources(
        [(part["$id"], Resource.from_contents(part)) for part in parts]
    )
    jsonschema.Draft7Validator(parts[0], registry=registry).validate(json.loads(text))


def check_in_toto(text: str) -> None:
    for line in text.splitlines():
        jsonschema.Draft202012Validator(schema("in-toto-statement-1.json")).validate(json.loads(line))


def check_model_card(text: str) -> None:
    _, head, prose = text.split("---\n", 2)
    jsonschema.Draft202012Validator(schema("model-index.json")).validate(yaml.safe_load(head))
    assert prose.strip().startswith("# Security audit of")


def check_markdown(text: str) -> None:
    assert len(text.encode()) < 65_536
    assert "<" not in re.sub(r"</?(code|details|summary)>|<!-- -->", "", text)
    columns = 0
    for line in text.splitlines():
        if line.startswith("|"):  # every row of a table has its header's cells
            columns = columns or line.count("|")
            assert line.count("|") == columns
        else:
            columns = 0


CHECKS: dict[str, Callable[[str], None]] = {
    "json": check_json, "markdown": check_markdown, "sarif": check_sarif, "junit": check_junit,
    "model-card": check_model_card, "cyclonedx": check_cyclonedx, "in-toto": check_in_toto,
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_every_kind_of_run_makes_a_valid_file_the_same_twice(judged: dict[str, Judged], name: str) -> None:
    for run in judged.values():
        text = _text(name, run)
        CHECKS[name](text)
        assert text == _text(name, run)


@pytest.mark.parametrize("name", FORMATS)
def test_hostile_names_stay_text(hostile: Judged, name: str) -> None:
    text = _text(name, hostile, hostile[0])
    CHECKS[name](text)
    assert "\u202e" not in text
    assert "\x00" not in text
    if name in ("markdown", "model-card"):
        prose = text.rsplit("---\n", 1)[-1]
        assert "<img" not in prose
        assert "@" not in prose
        assert "](" not in prose


@pytest.mark.parametrize("name", FORMATS)
def test_a_full_run_beside_a_baseline(results: Results, name: str) -> None:
    CHECKS[name](_text(name, (results, judge(results, preset("standard"))), results))


@pytest.mark.parametrize("name", FORMATS)
def test_no_format_calls_a_model_safe(judged: dict[str, Judged], name: str) -> None:
    for run in judged.values():
        assert not re.search(r"\b(safe|secure|compliant)\b", _text(name, run), re.IGNORECASE)


def test_a_check_of_each_schema_can_fail() -> None:
    broken = {"json": "{}", "sarif": "{}", "cyclonedx": "{}", "in-toto": "{}", "junit": "<testsuite/>",
              "model-card": "---\nmodel-index: []\n---\n"}  # fmt: skip
    for name, text in broken.items():
        with pytest.raises((jsonschema.ValidationError, xmlschema.XMLSchemaException)):
            CHECKS[name](text)


def test_sarif_holds_failures_alone_at_their_rules_lines(hostile: Judged) -> None:
    run = json.loads(_text("sarif", hostile))["runs"][0]
    assert [result["ruleId"] for result in run["results"]] == ["r"]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "a%20folder/%3Cpolicy%3E.toml"}, "region": {"startLine": 1}}
    assert run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"].startswith("NOT RUN: q")


def test_junit_has_a_case_for_each_decision(hostile: Judged) -> None:
    suite = ET.fromstring(_text("junit", hostile)).find("testsuite")
    assert suite is not None
    cases = {case.get("classname"): [inner.tag for inner in case] for case in suite}
    assert cases == {"r": ["failure"], "q": ["error"], "w": ["skipped"]}
    assert {k: suite.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "3", "failures": "1", "errors": "1", "skipped": "1",
    }  # fmt: skip


def test_junit_of_an_empty_or_unfinished_run_is_not_green(judged: dict[str, Judged]) -> None:
    for name in ("empty", "crashed"):
        assert "<error" in _text("junit", judged[name])


def test_in_toto_fails_closed_and_names_the_models(hostile: Judged, judged: dict[str, Judged]) -> None:
    statement = json.loads(_text("in-toto", hostile))
    assert [subject["digest"] for subject in statement["subject"]] == [{"sha256": "0" * 64}]
    predicate = statement["predicate"]
    assert (predicate["result"], predicate["failedTests"], predicate["warnedTests"]) == (
        "FAILED",
        ["r", "q"],
        ["w"],
    )
    passing = [json.loads(line) for line in _text("in-toto", judged["pass"]).splitlines()]
    assert {line["predicate"]["result"] for line in passing} == {"PASSED"}
    doubtful = [json.loads(line) for line in _text("in-toto", judged["inconclusive"]).splitlines()]
    assert {line["predicate"]["result"] for line in doubtful} == {"FAILED"}


def test_json_has_every_figure_of_the_run(results: Results, run_folder: Path) -> None:
    verdicts = judge(results, preset("standard"))
    document = json.loads(_text("json", (results, verdicts), results))
    assert len(document["measurements"]) == len(results.measurements)
    for ours, row in zip(document["measurements"], results.measurements.to_dict("records"), strict=True):
        assert ours["value"] == (row["value"] if row["status"] == "ok" else None)
        assert ours["at"] == row["conditions"]
    assert document["verdict"]["exit_code"] == verdicts.exit_code
    assert len(document["decisions"]) == len(verdicts.decisions)
    assert {change["value"] for change in document["baseline"]["changes"]} == {0.0}
