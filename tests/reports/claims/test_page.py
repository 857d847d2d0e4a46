"""The claim report as text, and in a headless Chromium with the network cut."""

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from markdown_it import MarkdownIt

from reports.claims import (
    Absent,
    Erratum,
    Experiment,
    Figure,
    Ledger,
    Study,
    as_json,
    claims,
    headline,
    judge,
    ledger_page,
    markdown,
    markdown_table,
    resolution,
)  # fmt: skip
from reports.claims.field import field
from reports.claims.words import MARKS, effect_text, summary

HOSTILE = "</script><script>document.title='owned'</script>\u202e|[x](http://e.vil)" + "w" * 120
ERRATA = (
    Erratum(
        1, "§4.2", "The mask is upside down", "p = 1 where w < α\nelse 0", "1 2 3", "", "4 5 6", "It is."
    ),
)
EXPERIMENT = Experiment("One net.", "prune-audit", (Figure("accuracy", "0.8864", "0.91"),), ("It differs.",))
FACTS = {"command": "prune-audit reproduce", "run": "abc"}


@pytest.fixture(scope="module")
def ledger(demo: Study) -> Ledger:
    return judge([demo], [Absent("mnist", "mnist", "lenet5", "none", "no MNIST at hand")])


@pytest.fixture(scope="module")
def page(ledger: Ledger) -> str:
    return ledger_page(ledger, ERRATA, EXPERIMENT, FACTS)


@pytest.fixture(scope="module")
def hostile(demo: Study) -> str:
    about = {**demo.results.about, "recipes": {HOSTILE: {}, **demo.results.about["recipes"]}}
    results = replace(demo.results, about=MappingProxyType(about))
    study = replace(demo, name=HOSTILE, data=HOSTILE, architecture=HOSTILE, results=results)
    erratum = Erratum(1, *(HOSTILE,) * 7)
    experiment = Experiment(HOSTILE, HOSTILE, (Figure(HOSTILE, HOSTILE, HOSTILE),), (HOSTILE,))
    absent = Absent(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    return ledger_page(judge([study], [absent]), [erratum], experiment, {HOSTILE: HOSTILE})


def test_every_claim_has_its_verdict_in_table_and_part(ledger: Ledger, page: str) -> None:
    for finding in ledger.findings:
        part = page.split(f'<section id="{finding.claim.id.lower()}"')[1].split("</section>")[0]
        row = page.split(f'<a href="#{finding.claim.id.lower()}">{finding.claim.id} ')[1].split("</tr>")[0]
        for text in (part, row):
            assert MARKS[finding.verdict].word in text
            others = {mark.word for mark in MARKS.values()} - {MARKS[finding.verdict].word}
            assert not any(f"</span>{word}" in text for word in others)


def test_what_is_absent_is_told(page: str) -> None:
    assert "no MNIST at hand" in page
    assert "Planned, and not run" in page


def test_the_page_is_a_pure_function(ledger: Ledger, page: str) -> None:
    assert ledger_page(ledger, ERRATA, EXPERIMENT, FACTS) == page
    assert len(page.encode()) < 1_500_000


def test_it_has_no_script_and_asks_for_nothing(page: str, hostile: str) -> None:
    for text in (page, hostile):
        assert "<script" not in text
        assert re.findall(r'(?:src|href)="(?!#)[^"]*"', text) == []
        assert "default-src 'none'" in unescape(text)
        assert "script-src" not in text
        assert "\u202e" not in text


def test_markdown_has_a_row_a_claim_and_stays_text(ledger: Ledger) -> None:
    table = markdown_table(ledger)
    assert len(table.splitlines()) == 2 + len(claims())
    for line, finding in zip(table.splitlines()[2:], ledger.findings, strict=True):
        assert f" {finding.verdict} |" in line
    whole = markdown(ledger, [replace(ERRATA[0], title=HOSTILE)], EXPERIMENT, {HOSTILE: HOSTILE})
    html = MarkdownIt("commonmark").enable("table").render(whole)
    assert "<script>" not in html
    assert 'href="http' not in html
    assert html.count("<table>") == 2 + sum(bool(one.figures) for one in field(ledger.studies))


def test_json_says_the_same(ledger: Ledger) -> None:
    found = json.loads(json.dumps(as_json(ledger, ERRATA, EXPERIMENT, FACTS), allow_nan=False))
    assert [one["verdict"] for one in found["claims"]] == [f.verdict for f in ledger.findings]
    assert found["headline"] == headline(ledger)
    assert found["errata"][0]["title"] == ERRATA[0].title


def test_the_contradiction_is_resolved_in_words(ledger: Ledger) -> None:
    told = resolution(ledger)
    assert "C2 was not tested" in told
    assert effect_text(ledger.of("C1")) in told


def test_both_measured_gives_both_effects(ledger: Ledger) -> None:
    first, second = ledger.of("C1"), ledger.of("C2")
    other = replace(first, claim=second.claim)
    findings = tuple(other if f.claim.id == "C2" else f for f in ledger.findings)
    told = resolution(replace(ledger, findings=findings))
    assert told.count(effect_text(first)) == 2
    assert f"(C1) is {first.verdict}" in told


def test_every_finding_has_a_reason(ledger: Ledger) -> None:
    assert all(summary(finding).endswith(".") for finding in ledger.findings)


@pytest.mark.parametrize(
    ("which", "width", "scheme"),
    [("page", 360, "light"), ("page", 1280, "dark"), ("hostile", 360, "dark"), ("hostile", 1280, "light")],
)
def test_it_stands_alone_fits_and_is_accessible(
    browser: Any, request: pytest.FixtureRequest, tmp_path: Path, which: str, width: int, scheme: str
) -> None:
    file = tmp_path / "claims.html"
    file.write_text(request.getfixturevalue(which), encoding="utf-8")
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True, bypass_csp=False
    )
    shown = context.new_page()
    asked: list[str] = []
    said: list[str] = []
    shown.on("request", lambda one: asked.append(one.url))
    shown.on("console", lambda message: said.append(message.text))
    shown.goto(file.as_uri(), wait_until="load")
    shown.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    wide = shown.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert (asked, said, wide) == ([file.as_uri()], [], 0)
    assert "owned" not in shown.title()
    if (width, which) == (1280, "page"):
        found = Axe().run(shown, options={"resultTypes": ["violations"]}).response["violations"]
        assert [one["id"] for one in found] == []
    context.close()
