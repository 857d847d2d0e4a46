"""Formats for other programs: every one over every kind of run, by its published schema; hostile names."""

import csv
import hashlib
import importlib
import io
import json
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
import xmlschema
import yaml
from markdown_it import MarkdownIt
from referencing import Registry, Resource

from reports.data.results import Results, read
from reports.exports import json as as_json
from reports.exports import names
from reports.gate.judge import Verdicts, judge
from reports.gate.policy import Policy, Rule, Waiver, load

SCHEMAS = Path(__file__).parent / "schemas"
FORMATS = ("csv", "cyclonedx", "in-toto", "json", "junit", "markdown", "model-card", "sarif")
CASES = (
    "pass", "fail", "inconclusive", "crashed", "one variant", "60 variants", "1000 classes", "empty",
    "pictures",
)  # fmt: skip
HOSTILE = (
    "</script><img src=x>|`a`|[b](http://c.de)@owner#12 www.d.de\u202e\x00\x1b\ufffe<!--'\"&\\|" + "w" * 200
)
Runs = dict[str, tuple[Path, Results, Verdicts]]


def module(name: str) -> Any:
    return importlib.import_module(f"reports.exports.{name.replace('-', '_')}")


def rendered(name: str, results: Results, verdicts: Verdicts, baseline: Results | None = None) -> str:
    return str(module(name).render(results, verdicts, baseline))


def strict(text: str) -> Any:
    """JSON as the standard has it, without NaN and without a key given twice."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({key for key, _ in found}) == len(found)
        return dict(found)

    return json.loads(
        text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"), object_pairs_hook=pairs
    )


def documents(name: str, text: str) -> list[Any]:
    """What a JSON format holds: one document, or, of statements, one a line."""
    return [strict(line) for line in text.splitlines()] if name == "in-toto" else [strict(text)]


def schema(file: str) -> Any:
    return json.loads((SCHEMAS / file).read_text(encoding="utf-8"))


def front(text: str) -> Any:
    """The metadata of a model card."""
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n"))


@pytest.fixture(scope="module")
def validate() -> dict[str, Callable[[str], None]]:
    """A function for each format that raises where the text breaks the format."""
    bom = schema("bom-1.6.SNAPSHOT.schema.json")
    others = ("spdx.SNAPSHOT.schema.json", "jsf-0.82.SNAPSHOT.schema.json")
    registry: Any = Registry().with_resources(
        [
            (f"http://cyclonedx.org/schema/{name}", Resource.from_contents(schema(file)))
            for file in others
            for name in (file, file.replace(".SNAPSHOT", ""))
        ]
    )
    checkers = {
        "cyclonedx": jsonschema.Draft7Validator(bom, registry=registry),
        "in-toto": jsonschema.Draft202012Validator(schema("in-toto-statement-1.json")),
        "json": jsonschema.Draft202012Validator(json.loads(as_json.SCHEMA.read_text(encoding="utf-8"))),
        "sarif": jsonschema.Draft4Validator(schema("sarif-2.1.0.json")),
    }
    for checker in checkers.values():
        type(checker).check_schema(checker.schema)
    junit, card = xmlschema.XMLSchema(SCHEMAS / "junit-10.xsd"), schema("model-index.json")

    def model_card(text: str) -> None:
        metadata = front(text)
        if "model-index" in metadata:
            jsonschema.Draft202012Validator(card).validate(metadata)

    found: dict[str, Callable[[str], None]] = {
        name: (lambda text, checker=checker, name=name: [checker.validate(d) for d in documents(name, text)])  # type: ignore[misc]
        for name, checker in checkers.items()
    }
    return found | {"junit": lambda text: junit.validate(text), "model-card": model_card}


def test_every_format_is_tested_here_or_as_a_page() -> None:
    assert set(names()) == {*FORMATS, "html", "parquet", "pdf", "png"}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", FORMATS)
def test_it_is_valid_and_its_words_are_chosen(
    case_runs: Runs, validate: dict[str, Callable[[str], None]], case: str, name: str
) -> None:
    assert set(case_runs) == set(CASES)
    _, results, verdicts = case_runs[case]
    text = rendered(name, results, verdicts)
    validate.get(name, lambda _: None)(text)
    assert not re.search(r"\b(safe|secure|compliant)\b", text, re.IGNORECASE)
    assert text.endswith("\n")


@pytest.mark.parametrize("name", FORMATS)
def test_rendered_twice_it_has_the_same_bytes(case_runs: Runs, cases: ModuleType, name: str) -> None:
    folder, results, verdicts = case_runs["pictures"]
    again = read(folder)
    assert rendered(name, again, judge(again, verdicts.policy, today=verdicts.judged_on)) == rendered(
        name, results, verdicts
    )


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("cyclonedx", '"machine-learning-model"', '"model"'),
        ("cyclonedx", '"SHA-256"', '"SHA256"'),
        ("in-toto", '"FAILED"', '"INCONCLUSIVE"'),
        ("in-toto", '"digest"', '"hash"'),
        ("json", '"status": "fail"', '"status": "green"'),
        ("json", '"schema": "prune-audit/report/1"', '"schema": "prune-audit/report/2"'),
        ("junit", " message=", " text="),
        ("junit", ' tests="', ' checks="'),
        ("model-card", '"value"', '"figure"'),
        ("sarif", '"ruleId"', '"rule"'),
        ("sarif", '"level": "error"', '"level": "fatal"'),
        ("sarif", '"startLine": 1', '"startLine": 0'),
    ],
)
def test_each_validator_can_say_no(
    case_runs: Runs, validate: dict[str, Callable[[str], None]], name: str, old: str, new: str
) -> None:
    _, results, verdicts = case_runs["fail"]
    text = rendered(name, results, verdicts)
    assert old in text
    with pytest.raises((jsonschema.ValidationError, xmlschema.XMLSchemaValidationError)):
        validate[name](text.replace(old, new))


@pytest.mark.parametrize("case", CASES)
def test_json_holds_the_very_numbers(case_runs: Runs, case: str) -> None:
    _, results, verdicts = case_runs[case]
    document = strict(rendered("json", results, verdicts))
    assert document["verdict"]["exit_code"] == verdicts.exit_code
    assert [(d["status"], d["value"], d["low"]) for d in document["decisions"]] == [
        (d.status, d.value, d.low) for d in verdicts.decisions
    ]
    for key in ("value", "low", "high"):
        expected = [None if v != v else v for v in results.measurements[key]]
        assert [row[key] for row in document["measurements"]] == expected


def test_junit_is_not_green_where_nothing_was_judged(case_runs: Runs, tmp_path: Path) -> None:
    """Dense alone, by a rule on a drop against dense; and by no rule at all."""
    _, results, _ = case_runs["one variant"]
    file = tmp_path / "policy.toml"
    file.write_text('[[rule]]\nid = "a"\nmetric = "accuracy"\nmax_drop = 0.1\n', encoding="utf-8")
    for policy, cases in ((load(file), 2), (Policy((), name="x"), 1)):
        verdicts = judge(results, policy)
        assert verdicts.exit_code == 4
        root = ElementTree.fromstring(rendered("junit", results, verdicts))
        assert (root.get("tests"), root.get("errors")) == (str(cases), "1")
        assert len(root.findall(".//testcase")) == cases
        assert len(root.findall(".//error")) == 1


@pytest.mark.parametrize("case", CASES)
def test_junit_has_one_case_for_each_decision(case_runs: Runs, case: str) -> None:
    _, results, verdicts = case_runs[case]
    root = ElementTree.fromstring(rendered("junit", results, verdicts))
    kinds = [case.find("*").tag if len(case) else "passed" for case in root.iter("testcase")]  # type: ignore[union-attr]
    words = {"fail": "failure", "inconclusive": "error", "not_run": "error", "pass": "passed"}
    expected = [words.get(d.status, "skipped") for d in verdicts.decisions]
    assert kinds == expected + ["error"] * bool(verdicts.waiting)
    assert (root.get("failures"), root.get("errors")) == (
        str(kinds.count("failure")),
        str(kinds.count("error")),
    )
    assert root.get("tests") == str(len(kinds))
    assert (kinds.count("failure") + kinds.count("error") == 0) == (verdicts.exit_code == 0)


def waived(verdicts: Verdicts, results: Results) -> Verdicts:
    waiver = Waiver(rule="clean", variant="*", expires=date(2027, 1, 1), reason="a test")
    return judge(results, Policy(verdicts.policy.rules, (waiver,), "house"), today=date(2026, 6, 1))


@pytest.mark.parametrize("case", CASES)
def test_in_toto_attests_a_pass_only_where_the_gate_passes(case_runs: Runs, case: str) -> None:
    _, results, verdicts = case_runs[case]
    statements = documents("in-toto", rendered("in-toto", results, verdicts))
    assert all(len(statement["subject"]) == 1 for statement in statements)
    digests = sorted(d for d in results.variants["digest"] if d is not None)
    if not digests:
        assert [statement["predicate"]["result"] for statement in statements] == ["FAILED"]
        return
    assert sorted(s["subject"][0]["digest"]["sha256"] for s in statements) == digests
    for statement in statements:
        mine = verdicts.of(statement["subject"][0]["annotations"]["variant"])
        tests = statement["predicate"]
        assert (tests["result"] == "PASSED") == (mine.status == "pass")
        assert len(tests["passedTests"]) == mine.count("pass")
        assert len(tests["failedTests"]) == len(mine.decisions) - mine.count("pass") - mine.count(
            "not_applicable"
        )


def test_what_is_waived_is_a_warning_and_a_skip(case_runs: Runs) -> None:
    _, results, verdicts = case_runs["fail"]
    verdicts = waived(verdicts, results)
    assert verdicts.exit_code == 0
    statements = documents("in-toto", rendered("in-toto", results, verdicts))
    said = {s["subject"][0]["annotations"]["variant"]: s["predicate"]["result"] for s in statements}
    assert said.pop("dense-finetuned") == "FAILED"  # a control, which no rule judges
    assert set(said.values()) == {"WARNED"}
    root = ElementTree.fromstring(rendered("junit", results, verdicts))
    assert {skip.get("type") for skip in root.iter("skipped")} == {"waived"}
    alerts = strict(rendered("sarif", results, verdicts))["runs"][0]["results"]
    assert len(alerts) == verdicts.count("waived") > 0
    for alert in alerts:
        (suppression,) = alert["suppressions"]
        assert re.fullmatch(
            r"waived until 2027-01-01 \((FAIL|INCONCLUSIVE) without the waiver\): a test",
            suppression["justification"],
        )
        assert suppression["status"] == "accepted"
    comment = rendered("markdown", results, verdicts)
    assert "waived until 2027\\-01\\-01 \\(FAIL without the waiver\\)\\: a test" in comment
    assert "The run meets" not in comment


def test_sarif_points_at_the_failing_rules_line(tmp_path: Path, case_runs: Runs) -> None:
    path = tmp_path / "ci" / "a policy.toml"
    path.parent.mkdir()
    path.write_text(
        "# Ours.\n\n[[rule]]\nid = 'fine'\nmetric = 'accuracy'\nat = { split = 'test' }\nmin = 0.0\n\n"
        "[[rule]]\nid = 'broken'\nmetric = 'accuracy'\nat = { split = 'test' }\nmin = 1.0\n"
        "severity = 'critical'\n",
        encoding="utf-8",
    )
    _, results, _ = case_runs["fail"]
    verdicts = judge(results, load(path))
    (run,) = strict(rendered("sarif", results, verdicts))["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["fine", "broken"]
    assert run["tool"]["driver"]["rules"][1]["properties"]["security-severity"] == "9.5"
    assert all(rule["properties"]["precision"] == "high" for rule in run["tool"]["driver"]["rules"])
    assert len(run["results"]) == verdicts.count("fail") > 1
    for result in run["results"]:
        (location,) = result["locations"]
        place = location["physicalLocation"]
        assert place["region"]["startLine"] == 9
        assert place["artifactLocation"]["uri"] == "a%20policy.toml"
        assert (result["ruleId"], result["ruleIndex"], result["level"]) == ("broken", 1, "error")
    prints = [r["partialFingerprints"]["primaryLocationLineHash"] for r in run["results"]]
    assert len(set(prints)) == len(prints)
    path.write_text("# One more line.\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    (moved,) = strict(rendered("sarif", results, judge(results, load(path))))["runs"]
    assert [r["partialFingerprints"]["primaryLocationLineHash"] for r in moved["results"]] == prints
    assert moved["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"] == 10


@pytest.mark.parametrize(
    ("file", "uri"),
    [
        ("ci/policy.toml", "ci/policy.toml"),
        ("./policy.toml", "policy.toml"),
        ("../policy.toml", "../policy.toml"),
        ("/home/me/secret/policy.toml", "policy.toml"),
        ("C:\\Users\\me\\policy.toml", "policy.toml"),
        ("C:/Users/me/policy.toml", "policy.toml"),
    ],
)
def test_sarif_does_not_say_where_a_machine_keeps_its_files(case_runs: Runs, file: str, uri: str) -> None:
    _, results, verdicts = case_runs["fail"]
    policy = Policy(verdicts.policy.rules, name="house", file=file)
    text = rendered("sarif", results, judge(results, policy))
    places = [place for r in strict(text)["runs"][0]["results"] for place in r["locations"]]
    assert {place["physicalLocation"]["artifactLocation"]["uri"] for place in places} == {uri}
    assert "file:" not in text


def test_no_export_holds_the_absolute_path_of_a_policy(tmp_path: Path, case_runs: Runs) -> None:
    path = tmp_path / "policy.toml"
    path.write_text("[[rule]]\nid = 'a'\nmetric = 'accuracy'\nmin = 1.0\n", encoding="utf-8")
    _, results, _ = case_runs["fail"]
    verdicts = judge(results, load(path))
    for name in (*FORMATS, "html"):
        text = rendered(name, results, verdicts)
        assert str(tmp_path) not in text, name
        assert "file:///" not in text, name


def test_an_alert_stays_open_when_a_failure_is_no_longer_decided(tmp_path: Path, runs: ModuleType) -> None:
    """FAIL, then INCONCLUSIVE, then NOT RUN, then PASS: the same alert, until it passes."""
    prints, kinds = [], []
    rule = Rule.model_validate({"id": "r", "metric": "accuracy", "min": 0.8, "severity": "high"})
    figures = [*(runs.clean("m", share) for share in (0.7, 0.8)), runs.row("m", "macs", 1, 1, 1)]
    for i, row in enumerate([*figures, runs.clean("m", 0.9)]):
        results = runs.made(tmp_path / str(i), [row])
        (run,) = strict(rendered("sarif", results, judge(results, Policy((rule,)))))["runs"]
        prints.append([r["partialFingerprints"]["decision/v1"] for r in run["results"]])
        kinds.append([(r["kind"], r["level"], r["properties"]["verdict"]) for r in run["results"]])
    assert kinds == [
        [("fail", "error", "FAIL")], [("open", "none", "INCONCLUSIVE")], [("open", "none", "NOT RUN")], [],
    ]  # fmt: skip
    assert prints[0] == prints[1] == prints[2] != []


def test_a_variants_name_makes_no_link_in_sarif(tmp_path: Path, runs: ModuleType) -> None:
    name = "[click](http://evil.example) \\[x](1) www.evil.example"
    results = runs.made(tmp_path, [runs.clean(name, 0.5)])
    rule = Rule.model_validate({"id": "r", "metric": "accuracy", "min": 0.8})
    (alert,) = strict(rendered("sarif", results, judge(results, Policy((rule,)))))["runs"][0]["results"]
    message = alert["message"]["text"]
    assert re.search(r"(?<!\\)(\\\\)*[\[\]]", message) is None, message  # every bracket is escaped
    assert "://" not in message
    assert "www." not in message
    assert "click" in message


def test_cyclonedx_names_every_model_file_and_its_own_figures(case_runs: Runs) -> None:
    _, results, verdicts = case_runs["60 variants"]
    components = strict(rendered("cyclonedx", results, verdicts))["components"]
    assert len(components) == len(results.variants)
    assert len({c["bom-ref"] for c in components}) == len(components)
    for component, row in zip(components, results.variants.to_dict("records"), strict=True):
        assert component["hashes"] == [{"alg": "SHA-256", "content": row["digest"]}]
        (clean,) = [
            m for m in component["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
            if m["type"] == "Clean accuracy"
        ]  # fmt: skip
        rows = results.select("accuracy", {"split": "test"}, variant=row["variant"])
        (value,) = rows[rows["seed"] == row["seed"]]["value"]
        assert float(clean["value"]) == value


def test_the_model_card_holds_means_over_seeds(results: Results, cases: ModuleType) -> None:
    text = rendered("model-card", results, judge(results, cases.house(min=0.5)))
    entries = {entry["name"]: entry["results"][0]["metrics"] for entry in front(text)["model-index"]}
    assert list(entries) == results.names()
    for name, metrics in entries.items():
        rows = results.select("accuracy", {"split": "test"}, variant=name)
        assert metrics[0]["value"] == pytest.approx(rows["value"].mean())


def test_a_comment_fits_whatever_the_run(case_runs: Runs, cases: ModuleType) -> None:
    _, results, verdicts = case_runs["60 variants"]
    rule = verdicts.policy.rules[0]
    many = tuple(rule.model_copy(update={"id": f"rule-{i}", "description": "d" * 2000}) for i in range(30))
    text = rendered("markdown", results, judge(results, Policy(many, name="n" * 70_000)))
    assert 50_000 < len(text.encode()) < 64_000
    assert re.search(r"… and [\d,]+ more rows; report.html has them all\.", text)
    assert text.count("<details>") == text.count("</details>")
    assert text.rstrip().endswith("Evidence, not a certificate._")


def test_a_baseline_shows_what_changed(
    case_runs: Runs, validate: dict[str, Callable[[str], None]], synthetic: ModuleType, tmp_path: Path
) -> None:
    _, results, verdicts = case_runs["pass"]
    old = read(synthetic.build(tmp_path, seeds=[0], n=300, sparsities=[0.9], methods=["m"]))
    text = rendered("json", results, verdicts, old)
    validate["json"](text)
    found = strict(text)["baseline"]
    assert (found["only_here"], found["only_there"]) == (["m@0.5"], ["m@0.9"])
    assert {change["variant"] for change in found["changes"]} == {"dense", "dense-finetuned"}
    assert all(change["low"] <= change["value"] <= change["high"] for change in found["changes"])
    assert strict(rendered("json", results, verdicts))["baseline"] is None
    assert "Since the baseline" in rendered("markdown", results, verdicts, old)
    assert "Since the baseline" not in rendered("markdown", results, verdicts)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, synthetic: ModuleType, cases: ModuleType) -> Any:
    """A run whose every name and note is hostile, judged to fail; and itself as its baseline."""
    folder = tmp_path_factory.mktemp("hostile")
    facts = synthetic.about(HOSTILE, [HOSTILE])
    facts["subject"] |= {"architecture": HOSTILE, "data_source": HOSTILE}
    synthetic.build(
        folder, name=HOSTILE, methods=[HOSTILE], sparsities=[0.5], seeds=[0], n=60, facts=facts,
        broken=[f"{HOSTILE}@0.5"],
    )  # fmt: skip
    results = read(folder)
    rule = {"metric": "membership_auc", "max": 0.0, "description": HOSTILE}
    rules = (*cases.house(min=0.99).rules, cases.Rule.model_validate({"id": "leak", **rule}))
    waiver = Waiver(rule="leak", variant="dense", expires=date(2027, 1, 1), reason=HOSTILE)
    stray = Waiver(rule=HOSTILE[:200], variant=HOSTILE[:200], expires=date(2027, 1, 1), reason=HOSTILE)
    policy = Policy(rules, (waiver, stray), name=HOSTILE, file=HOSTILE)
    return results, judge(results, policy, results, date(2026, 6, 1)), results


@pytest.mark.parametrize("name", FORMATS)
def test_hostile_names_are_harmless_and_valid(
    hostile: Any, validate: dict[str, Callable[[str], None]], name: str
) -> None:
    text = rendered(name, *hostile)
    validate.get(name, lambda _: None)(text)
    text.encode("utf-8")
    if name != "csv":  # which holds what the file holds, quoted; only formulas are disarmed
        assert not set("\u202e\x00\x1b") & set(text)
    if name == "junit":  # XML cannot hold it, not even escaped
        assert "\ufffe" not in text


def test_hostile_names_make_no_markdown(hostile: Any) -> None:
    """By another's parser: outside code there is no tag, link, mention, reference or table cell of theirs."""
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    for name in ("markdown", "model-card"):
        text = rendered(name, *hostile)
        page = parser.render(text if name == "markdown" else text.split("\n---\n", 1)[1])
        assert set(re.findall(r"</?([a-z0-9]+)", page)) <= {
            "code", "details", "summary", "em", "h2", "h3", "h4", "li", "p", "ul",
            "table", "thead", "tbody", "tr", "th", "td",
        }  # fmt: skip
        assert "<!" not in page
        bare = re.sub(r"<code>.*?</code>", "", page, flags=re.DOTALL)
        assert not re.search(r"@owner|://|www\.d|#12", bare)
        for table in re.findall(r"<table>.*?</table>", page, re.DOTALL):
            rows = re.findall(r"<tr>.*?</tr>", table, re.DOTALL)
            assert len({row.count("<t") for row in rows}) == 1
            assert len(rows) > 1
        assert "<table>" in page
    loud = parser.render(f"| a |\n|---|\n| {HOSTILE} |")
    assert {"script", "img", "a"} & set(re.findall(r"</?([a-z0-9]+)", loud))  # and it can tell


def test_hostile_names_survive_in_the_data(hostile: Any) -> None:
    """What is data is exact: JSON and CSV hold the name as it is."""
    results = hostile[0]
    variant = f"{HOSTILE}@0.5"
    assert variant in results.names()
    document = strict(rendered("json", *hostile))
    assert variant in {row["variant"] for row in document["measurements"]}
    rows = csv.DictReader(io.StringIO(rendered("csv", *hostile)))
    assert variant in {row["variant"] for row in rows}


def test_the_statement_names_the_policy_by_its_bytes(tmp_path: Path, case_runs: Runs) -> None:
    path = tmp_path / "policy.toml"
    path.write_text("[[rule]]\nid = 'a'\nmetric = 'accuracy'\nmin = 0.1\n", encoding="utf-8")
    _, results, _ = case_runs["pass"]
    first = documents("in-toto", rendered("in-toto", results, judge(results, load(path))))[0]
    policy, plan = first["predicate"]["configuration"]
    assert policy["digest"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert results.about["plan_digest"] in plan["uri"]
