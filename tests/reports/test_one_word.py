"""One word: the verdict on every (rule, variant), and on every variant, is the same wherever it is told."""

import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from html import unescape
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from audit import gating
from reports.data.results import Results
from reports.exports import cyclonedx, in_toto, junit, markdown, model_card, sarif
from reports.exports import json as as_json
from reports.gate.judge import Verdicts, judge
from reports.gate.policy import Policy, Rule, Waiver
from reports.gate.status import MARKS
from reports.page.render import render
from reports.story.summary import sentences

DAY = date(2026, 6, 1)
WORDS = tuple(mark.word for mark in MARKS.values())
Words = dict[tuple[str, str], str]
"""By rule and variant."""

EXPECTED: Words = {
    ("clean", "dense"): "PASS",
    ("clean", "good@0.5"): "PASS",
    ("clean", "bad@0.5"): "FAIL",
    ("clean", "open@0.5"): "INCONCLUSIVE",
    ("clean", "let@0.5"): "WAIVED",  # of a failure
    ("clean", "unsure@0.5"): "WAIVED",  # of a doubt
    ("clean", "gone@0.5"): "NOT RUN",
    ("drop", "dense"): "NOT APPLICABLE",
    ("drop", "good@0.5"): "PASS",
    ("drop", "bad@0.5"): "FAIL",
    ("drop", "open@0.5"): "FAIL",
    ("drop", "let@0.5"): "WAIVED",
    ("drop", "unsure@0.5"): "WAIVED",
    ("drop", "gone@0.5"): "NOT RUN",  # a pattern does not waive it
    ("leak", "dense"): "NOT RUN",
    ("leak", "good@0.5"): "WAIVED",  # by its full name
    ("leak", "bad@0.5"): "NOT RUN",
    ("leak", "open@0.5"): "NOT RUN",
    ("leak", "let@0.5"): "WAIVED",
    ("leak", "unsure@0.5"): "WAIVED",
    ("leak", "gone@0.5"): "WAIVED",
    ("robust", "dense"): "INCONCLUSIVE",  # nobody looked at the health of its attacks
    ("robust", "good@0.5"): "PASS",
    ("robust", "bad@0.5"): "FAIL",
    ("robust", "open@0.5"): "INCONCLUSIVE",  # a flag is raised
    ("robust", "let@0.5"): "PASS",
    ("robust", "unsure@0.5"): "PASS",
    ("robust", "gone@0.5"): "NOT RUN",
}
OVERALL = {
    "dense": "NOT RUN",
    "good@0.5": "WAIVED",
    "bad@0.5": "FAIL",
    "open@0.5": "FAIL",
    "let@0.5": "WAIVED",
    "unsure@0.5": "WAIVED",
    "gone@0.5": "NOT RUN",
}


@dataclass(frozen=True)
class Case:
    results: Results
    verdicts: Verdicts


def _rules() -> tuple[Rule, ...]:
    tables: list[dict[str, Any]] = [
        {"id": "clean", "metric": "accuracy", "min": 0.9},
        {"id": "drop", "metric": "accuracy", "max_drop": 0.01},
        {"id": "leak", "metric": "membership_auc", "max": 0.6},
        {"id": "robust", "metric": "robust_accuracy", "min": 0.4},
    ]
    return tuple(Rule.model_validate(table) for table in tables)


def _waivers() -> tuple[Waiver, ...]:
    named = [("leak", name) for name in ("good@0.5", "let@0.5", "unsure@0.5", "gone@0.5")]
    named += [("clean", "let@*"), ("clean", "unsure@0.5"), ("drop", "[lug][eno]*")]
    return tuple(Waiver(rule=r, variant=v, expires=date(2027, 1, 31), reason="known") for r, v in named)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory, runs: ModuleType) -> Case:
    n = 1000
    shares = {
        "dense": 960,
        "good@0.5": 960,
        "bad@0.5": 500,
        "open@0.5": 905,
        "let@0.5": 700,
        "unsure@0.5": 900,
    }
    rows = []
    for name, share in shares.items():
        right = [i < share for i in range(n)]
        rows.append(runs.hits(name, right, metric="accuracy", at=runs.TEST, probe="accuracy"))
        figure = (0.2, 0.17, 0.23) if name == "bad@0.5" else (0.6, 0.57, 0.63)
        rows.append(runs.row(name, "robust_accuracy", *figure))
        at = {"flag": "zero_gradients", "norm": "linf", "limit": 0.05}
        found = 0.5 if name == "open@0.5" else 0.0
        if name != "dense":
            rows.append(runs.row(name, "attack_health", found, found, found, at=at))
    pairs = [(name, 0) for name in (*shares, "gone@0.5")]
    results = runs.made(tmp_path_factory.mktemp("words"), rows, variants=pairs, checked=False)
    return Case(results, judge(results, Policy(_rules(), _waivers(), "house"), today=DAY))


def _gate(case: Case) -> Words:
    return {(d.rule.id, d.variant): MARKS[d.status].word for d in case.verdicts.decisions}


def _json(case: Case) -> Words:
    document = json.loads(as_json.render(case.results, case.verdicts))
    return {(d["rule"], d["variant"]): MARKS[d["status"]].word for d in document["decisions"]}


def _junit(case: Case) -> Words:
    """A case without a child has passed; else the message begins with the word."""
    found = {}
    for test in ElementTree.fromstring(junit.render(case.results, case.verdicts)).iter("testcase"):
        said = [str(child.get("message")).partition(":")[0] for child in test]
        kinds = {"FAIL": "failure", "NOT RUN": "error", "INCONCLUSIVE": "error"}
        assert [child.tag for child in test] == [kinds.get(word, "skipped") for word in said]
        found[str(test.get("classname")), str(test.get("name"))] = said[0] if said else "PASS"
    return found


def _sarif(case: Case) -> Words:
    """What is absent passes or does not apply."""
    found = {}
    (run,) = json.loads(sarif.render(case.results, case.verdicts))["runs"]
    for result in run["results"]:
        (place,) = result["locations"]
        word = result["properties"]["verdict"]
        assert result["message"]["text"].startswith(f"{word}: ")
        assert (result.get("suppressions") is not None) == (word == "WAIVED")
        found[result["ruleId"], place["logicalLocations"][0]["name"]] = word
    return found


def _markdown(case: Case) -> Words:
    """What does not apply is left out."""
    rows = re.findall(r"^\| \S+ ([A-Z ]+) \| `(\w+)` \| `([^`]+)` \|", _comment(case), re.MULTILINE)
    return {(rule, variant): word for word, rule, variant in rows}


def _comment(case: Case) -> str:
    return markdown.render(case.results, case.verdicts)


def _terminal(case: Case) -> Words:
    """What does not apply is left out."""
    rows = re.findall(r"^([A-Z ]+): (\w+), (\S+): ", _log(case), re.MULTILINE)
    return {(rule, variant): word for word, rule, variant in rows}


def _log(case: Case) -> str:
    console = Console(file=io.StringIO(), width=400)
    gating.show(case.verdicts, Path("run"), console)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def _matrix(case: Case) -> list[tuple[str, str, list[str]]]:
    """Of the page: each variant's name, its own word, and those of the rules."""
    page = render(case.results, case.verdicts)
    table = page[page.index('<table class="matrix">') :].partition("</table>")[0]
    found = []
    for row in re.findall(r"<tr[^>]* class=.*?</tr>", table, re.DOTALL):
        name = re.search(r"<bdi>(.*?)</bdi>", row)
        badge = re.search(r'class="badge[^>]*>.*?</span>(.*?)</span>', row)
        assert name is not None
        assert badge is not None
        cells = re.findall(r'class="visually-hidden">([A-Z ]+?) ?</span>', row)
        found.append((unescape(name[1]), badge[1], cells))
    return found


def _variant(title: str) -> str:
    return title.replace(" at 50%", "@0.5")


def _page(case: Case) -> Words:
    rules = [rule.id for rule in _rules()]
    return {
        (rule, _variant(name)): word
        for name, _, cells in _matrix(case)
        for rule, word in zip(rules, cells, strict=True)
    }


def _findings(case: Case) -> Words:
    """The tables of the findings: every variant, in one table or another, of rules that not all meet."""
    page = render(case.results, case.verdicts)
    found = {}
    for article in re.findall(r'<article class="finding.*?</article>', page, re.DOTALL):
        rule = re.search(r'class="ids">Rule <code>(\w+)</code>', article)
        assert rule is not None
        for row in re.findall(r'<tr[^>]*><th scope="row">\s*(?:<bdi>)?(.*?)</tr>', article, re.DOTALL):
            name = row.partition("<")[0].strip()
            badge = re.search(r'class="badge[^>]*>.*?</span>(.*?)</span>', row)
            assert badge is not None
            found[rule[1], _variant(unescape(name))] = badge[1]
    return found


SAYS: dict[str, tuple[Callable[[Case], Words], tuple[str, ...]]] = {
    "gate": (_gate, ()),
    "json": (_json, ()),
    "junit": (_junit, ()),
    "sarif": (_sarif, ("PASS", "NOT APPLICABLE")),
    "markdown": (_markdown, ("NOT APPLICABLE",)),
    "terminal": (_terminal, ("NOT APPLICABLE",)),
    "page": (_page, ()),
    "findings": (_findings, ("NOT APPLICABLE",)),
}
"""What each says of every decision, and the words of which it keeps silent."""


def test_the_case_has_every_word() -> None:
    assert set(EXPECTED.values()) == set(WORDS)
    assert {name for _, name in EXPECTED} == set(OVERALL)


@pytest.mark.parametrize("where", SAYS)
def test_the_verdict_on_every_rule_and_variant_is_the_same_word(case: Case, where: str) -> None:
    says, silent = SAYS[where]
    assert says(case) == {pair: word for pair, word in EXPECTED.items() if word not in silent}


def _overall_json(case: Case) -> dict[str, str]:
    document = json.loads(as_json.render(case.results, case.verdicts))
    return {row["variant"]: MARKS[row["status"]].word for row in document["variants"]}


def _overall_card(case: Case) -> dict[str, str]:
    rows = re.findall(
        r"^\| `([^`]+)` \|.*\| ([A-Z ]+) \|$", model_card.render(case.results, case.verdicts), re.M
    )
    return dict(rows)


def _overall_bom(case: Case) -> dict[str, str]:
    found = {}
    for component in json.loads(cyclonedx.render(case.results, case.verdicts))["components"]:
        facts = {p["name"].partition(":")[2]: p["value"] for p in component["properties"]}
        found[component["name"]] = MARKS[facts["verdict"]].word
    return found


def _overall_statement(case: Case) -> dict[str, str]:
    """in-toto knows three words only."""
    words = {}
    for line in in_toto.render(case.results, case.verdicts).splitlines():
        statement = json.loads(line)
        words[statement["subject"][0]["annotations"]["variant"]] = statement["predicate"]["result"]
    return words


def test_the_verdict_on_a_variant_is_the_same_word(case: Case) -> None:
    assert {name: MARKS[case.verdicts.on(name)].word for name in OVERALL} == OVERALL
    assert {_variant(name): word for name, word, _ in _matrix(case)} == OVERALL
    assert _overall_json(case) == OVERALL
    assert _overall_bom(case) == OVERALL
    assert _overall_card(case) == OVERALL
    statements = {"PASS": "PASSED", "WAIVED": "WARNED"}
    assert _overall_statement(case) == {n: statements.get(w, "FAILED") for n, w in OVERALL.items()}


FORMATS: dict[str, Callable[[Case], str]] = {
    "terminal": lambda case: _log(case).strip().splitlines()[-1],
    "markdown": lambda case: _comment(case).splitlines()[0],
    "model card": lambda case: model_card.render(case.results, case.verdicts).split("## Security audit\n\n")[
        1
    ],
    "json": lambda case: json.loads(as_json.render(case.results, case.verdicts))["verdict"]["status"],
    "page": lambda case: str(
        re.search(r'<p class="judged">.*?</span>(.*?)</span>', render(case.results, case.verdicts))[1]  # type: ignore[index]
    ),
}


@pytest.mark.parametrize("where", FORMATS)
def test_the_verdict_on_the_whole_is_the_same_word(case: Case, where: str) -> None:
    word = MARKS[case.verdicts.status].word
    said = FORMATS[where](case).replace(case.verdicts.status, word)
    (first,) = re.findall(r"\b(" + "|".join(sorted(WORDS, key=len, reverse=True)) + r")\b", said)[:1]
    assert first == word == "FAIL"


@pytest.fixture(scope="module")
def waived(tmp_path_factory: pytest.TempPathFactory, runs: ModuleType) -> Case:
    """Everything breaks the rule, and a waiver by `*` covers it."""
    right = {"dense": 950, "m@0.5": 700, "m@0.9": 600}
    rows = [
        runs.hits(name, [i < share for i in range(1000)], metric="accuracy", at=runs.TEST, probe="accuracy")
        for name, share in right.items()
    ]
    rule = Rule.model_validate({"id": "clean", "metric": "accuracy", "max_drop": 0.05, "variants": ["*"]})
    waiver = Waiver(rule="clean", variant="*", expires=date(2027, 1, 31), reason="known")
    results = runs.made(tmp_path_factory.mktemp("waived"), rows)
    return Case(results, judge(results, Policy((rule,), (waiver,), "house"), today=DAY))


@pytest.mark.parametrize("where", FORMATS)
def test_a_waiver_by_a_star_is_waived_everywhere_and_a_pass_nowhere(waived: Case, where: str) -> None:
    said = FORMATS[where](waived).replace("waived", "WAIVED", 1)
    assert re.search(r"\b(WAIVED|PASS)\b", said)[0] == "WAIVED"  # type: ignore[index]
    assert waived.verdicts.exit_code == 0


def test_where_all_is_waived_no_sentence_says_that_the_policy_is_met(waived: Case) -> None:
    texts = [
        " ".join(sentences(waived.results, waived.verdicts)),
        render(waived.results, waived.verdicts).partition('id="threat-model"')[0],
        _comment(waived), _log(waived), model_card.render(waived.results, waived.verdicts),
    ]  # fmt: skip
    for text in texts:
        rest = text.replace("No pruned version meets the policy", "")
        assert not re.search(r"meets the policy|met by every|\bPASS\b", rest)
        assert "2026-06-01" in text  # the day of judgement
    lead = sentences(waived.results, waived.verdicts)[0]
    assert "No pruned version meets the policy “house”" in lead
    assert "waivers alone let m at 90% through" in lead
    assert "until 2027-01-31" in lead
    assert "by a pattern: it waives 2 decisions" in " ".join(waived.verdicts.remarks)
    assert 'class="finding waived"' in texts[1]


def test_dense_that_no_rule_judges_is_neither_a_pass_nor_not_run(waived: Case) -> None:
    assert MARKS[waived.verdicts.on("dense")].word == "NOT APPLICABLE"
    assert _overall_card(waived)["dense"] == "NOT APPLICABLE"
    assert {_variant(n): w for n, w, _ in _matrix(waived)}["dense"] == "NOT APPLICABLE"
    assert _overall_json(waived)["dense"] == "NOT APPLICABLE"


@pytest.mark.parametrize("where", SAYS)
def test_a_reader_can_tell_one_word_from_another(case: Case, where: str) -> None:
    """With one decision changed, every reader says so."""
    first = next(d for d in case.verdicts.decisions if (d.rule.id, d.variant) == ("clean", "bad@0.5"))
    other = tuple(replace(d, status="inconclusive") if d is first else d for d in case.verdicts.decisions)
    changed = Case(case.results, replace(case.verdicts, decisions=other))
    assert SAYS[where][0](changed)["clean", "bad@0.5"] == "INCONCLUSIVE"
    assert SAYS[where][0](case)["clean", "bad@0.5"] == "FAIL"
