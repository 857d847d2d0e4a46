import base64
import hashlib
import html.parser
import itertools
import re
from pathlib import Path
from types import ModuleType

import pytest

from reports.data.ledger import Ledger, MeasurementRow, UnitRow, VariantRow
from reports.data.results import Results, read
from reports.families import probe_of
from reports.gate.judge import judge
from reports.gate.policy import preset
from reports.gate.status import MARKS, gravity
from reports.page import tables
from reports.page.findings import findings
from reports.page.render import render
from reports.page.tiles import tiles
from reports.story.analysis import analyse
from reports.story.reach import shown_variant

VOID = {"meta", "br", "link", "img", "input", "hr"}
HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}"
RTL = "\u202eevil\u2066 مرحبا"


class Page(html.parser.HTMLParser):
    """What the tests ask of a page: tags, ids, links, text, tables, and whether tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.stack: list[str] = []
        self.tables: dict[str, list[list[tuple[str, float | None]]]] = {}
        self.text: list[str] = []
        self._rows: list[list[tuple[str, float | None]]] = []
        self._caption = ""
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        if tag not in VOID:
            self.stack.append(tag)
        if tag == "table":
            self._rows, self._caption = [], ""
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append(("", None))
        elif tag == "data" and "tr" in self.stack:
            self._rows[-1][-1] = (self._rows[-1][-1][0], float(given["value"] or "nan"))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag, f"</{tag}> closes nothing"
        if tag == "table":
            self.tables.setdefault(self._caption.strip(), self._rows)

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if "caption" in self.stack:
            self._caption += data
        elif "tr" in self.stack and self._rows[-1]:
            text, value = self._rows[-1][-1]
            self._rows[-1][-1] = (text + data, value)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def text(results: Results) -> str:
    return render(results)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_twice_the_same_bytes(results: Results, run_folder: Path, text: str) -> None:
    assert render(results) == text
    assert render(read(run_folder)) == text


def test_ids_are_unique_and_links_lead_somewhere(page: Page) -> None:
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for attrs in page.all("a"):
        href = attrs["href"] or ""
        outside = href.startswith("https://") and attrs["rel"] == "noreferrer"
        assert outside or href == "measurements.csv" or href.removeprefix("#") in ids
    for _, attrs in page.tags:
        assert (attrs.get("aria-labelledby") or ids[0]) in ids


def test_nothing_is_requested_and_nothing_runs(page: Page, text: str) -> None:
    assert not {tag for tag, _ in page.tags} & {"link", "iframe", "object", "embed", "form"}
    assert [attrs for tag, attrs in page.tags if tag == "script"] == [{}]
    assert not re.search(r"fetch|XMLHttp|WebSocket|import\(|innerHTML|eval", text[text.index("<script>") :])
    assert not [attrs for _, attrs in page.tags if any(name.startswith("on") for name in attrs)]
    assert all(
        (attrs.get("src") or "data:image/png;base64,").startswith("data:image/png;base64,")
        for _, attrs in page.tags
    )
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_the_policy_allows_this_style_sheet_and_this_script_alone(page: Page, text: str) -> None:
    policy = next(
        m["content"] or "" for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"
    )
    style = text[text.index("<style>") + 7 : text.index("</style>")]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith("default-src 'none';")
    assert f"style-src-elem 'sha256-{digest}'" in policy
    script = text[text.index("<script>") + 8 : text.index("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy


def test_the_structure_is_one_that_a_screen_reader_can_walk(page: Page) -> None:
    assert page.all("html")[0]["lang"] == "en"
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert all(attrs.get("scope") in ("col", "row") for attrs in page.all("th"))
    assert len([1 for tag, _ in page.tags if tag == "table"]) == len(
        [1 for tag, _ in page.tags if tag == "caption"]
    )
    for _, attrs in page.tags:
        if "scroll" in (attrs.get("class") or "").split():
            assert (attrs["tabindex"], attrs["role"]) == ("0", "region")
            assert attrs["aria-label"]


def test_every_row_of_the_table_equals_the_results_file(page: Page, results: Results) -> None:
    rows = page.tables["Every figure over its seeds"][1:]
    frame = results.measurements
    groups = list(frame.groupby(["variant", "probe", "metric", "at"], sort=False))
    assert len(rows) == len(groups)
    for row, (_, group) in zip(rows, groups, strict=True):
        values = group["value"].dropna()
        assert row[0][0].strip() == group.iloc[0]["variant"]
        if len(values):
            assert row[3][1] == pytest.approx(values.mean(), rel=1e-12)
        else:
            assert row[3] == ("failed", None)
        counts = group["n"].dropna()
        assert row[6][1] == (float(counts.min()) if len(counts) else None)


def test_chart_tables_equal_the_results_file(page: Page, results: Results) -> None:
    for row in page.tables["Clean accuracy against sparsity"][1:]:
        name = row[0][0].strip()
        mean = results.select("accuracy", {"split": "test"}, variant=name)["value"].mean()
        assert row[2][1] == pytest.approx(mean, rel=1e-12)
        assert row[2][0].strip() == f"{100 * mean:.1f}%"
    head, *rows = page.tables["Robust accuracy against ε, worst case, mean over 3 seeds"]
    eps = [float(cell.removeprefix("ε = ")) for cell, _ in head[1:]]
    for row in rows:
        for e, (_, value) in zip(eps, row[1:], strict=True):
            at = {"attack": "worst_case", "eps": e}
            metric = "robust_accuracy" if e else "accuracy"
            found = results.select(metric, at if e else {"split": "test"}, variant=row[0][0].strip())
            assert value == pytest.approx(found["value"].mean(), rel=1e-12)


def block(text: str, start: str, end: str) -> str:
    return text[text.index(start) : text.index(end, text.index(start))]


def numbers(text: str) -> list[float]:
    return [float(value) for value in re.findall(r'<data value="([^"]+)"', text)]


def test_tiles_equal_the_results_file(text: str, results: Results) -> None:
    verdicts = judge(results, preset("standard"))
    shown = shown_variant(analyse(results), verdicts)
    assert shown is not None
    expected, analysis = [], analyse(results)
    for tile in tiles(analysis, verdicts, shown):
        decided = [d for d in verdicts.decisions if d.variant == shown and d.at]
        mine = [d for d in decided if probe_of(results, d.rule.metric) == tile.family]
        if not mine:
            assert tile.mark.word == "NOT RUN"
            continue
        assert tile.mark is MARKS[min(mine, key=gravity).status]
        key = next(key for key in analysis.keys if key.family == tile.family)  # as in the headline
        rows = [results.select(key.metric, key.at, variant=name) for name in (shown, "dense")]
        expected += [frame["value"].mean() for frame in rows]
    assert len(expected) == 6
    assert numbers(block(text, '<div class="tiles">', '<p class="savings">')) == pytest.approx(expected)


def test_savings_equal_the_results_file(text: str, results: Results) -> None:
    shown = shown_variant(analyse(results), judge(results, preset("standard")))
    expected = [
        results.select(metric, variant=variant)["value"].mean()
        for metric in ("bytes", "macs", "latency")
        for variant in ("dense", shown)
    ]
    assert numbers(block(text, '<p class="savings">', "</p>")) == pytest.approx(expected)


def test_the_matrix_holds_every_decision(page: Page, results: Results) -> None:
    verdicts = judge(results, preset("standard"))
    caption = next(name for name in page.tables if name.startswith("Figures are those of the worst seed"))
    rows = page.tables[caption][1:]
    words = {"pass": "PASS", "fail": "FAIL", "inconclusive": "INCONCLUSIVE", "not_run": "NOT RUN"}
    assert len(rows) == len({d.variant for d in verdicts.decisions})
    for row in rows:
        name = row[0][0].strip().replace(" at ", "@")
        variant = next(
            v
            for v in results.made
            if v == name or v == re.sub(r"(\d+)%", lambda m: f"{int(m.group(1)) / 100:g}", name)
        )
        decisions = {d.rule.id: d for d in verdicts.decisions if d.variant == variant}
        assert words[verdicts.of(variant).status] in row[1][0]
        for (shown, value), rule in zip(row[2:], verdicts.policy.rules, strict=True):
            decision = decisions[rule.id]
            assert value == decision.value
            assert words.get(decision.status, "NOT APPLICABLE") in shown


def test_findings_stand_worst_first_with_all_they_need(page: Page, text: str, results: Results) -> None:
    verdicts = judge(results, preset("standard"))
    found = findings(results, verdicts)
    open_rules = {d.rule.id for d in verdicts.decisions if d.status in ("fail", "inconclusive", "not_run")}
    assert {finding.rule for finding in found} == open_rules
    order = [("FAIL", "NOT RUN", "INCONCLUSIVE").index(finding.mark.word) for finding in found]
    assert order == sorted(order)
    said = " ".join("".join(page.text).split())
    for finding in found:
        assert len(finding.claim) == 2
        assert finding.why
        assert finding.changes
        assert finding.remedies
        assert finding.standards
        assert {name for name, _ in finding.reproduce} >= {"Command", "Figure", "Weights (SHA-256)", "Plan"}
        for sentence in (*finding.claim, *finding.why, *finding.changes, *finding.remedies):
            assert " ".join(sentence.split()) in said
        assert f'id="{finding.anchor}"' in text


def test_figures_of_findings_equal_the_decisions(page: Page, results: Results) -> None:
    verdicts = judge(results, preset("standard"))
    for rule in verdicts.policy.rules:
        caption = f"Variants that do not meet it, or are not shown to ({rule.id})"
        shown = [row[2][1] for row in page.tables[caption][1:]]
        open_ = [
            d
            for d in verdicts.decisions
            if d.rule.id == rule.id and d.status in ("fail", "inconclusive", "not_run")
        ]
        assert sorted(v for v in shown if v is not None) == sorted(
            d.value for d in open_ if d.value is not None
        )
        assert len(shown) == len(open_)


def test_families_that_did_not_run_say_so(page: Page, text: str) -> None:
    section = block(text, '<section id="probe-tampering"', "</section>")
    assert "NOT RUN" in section
    assert "That is no finding in its favour." in section
    assert "NOT RUN" not in block(text, '<section id="probe-evasion"', "</section>")


def test_state_failures_threat_models_and_how_to_reproduce_are_there(page: Page, results: Results) -> None:
    text = " ".join("".join(page.text).split())
    assert "251 of 252 units done, 1 failed" in text
    assert "RuntimeError: boom" in text
    assert "Where the time went" in text
    for card in results.about["cards"].values():
        assert card["threat_model"] in text
        assert card["limits"] in text
    for said in ("prune-audit run plan.toml", results.about["plan_digest"], "Somebody et al. 2017", "2.13.0"):
        assert said in text
    assert f"{2:064x}" in text
    assert "evidence relevant to" in text
    assert not re.search(r"\b(safe|secure|compliant)\b", text)


def test_hostile_names_are_harmless(tmp_path: Path, synthetic: ModuleType) -> None:
    facts = synthetic.about(HOSTILE, [HOSTILE, RTL])
    facts["subject"]["architecture"] = facts["command"] = HOSTILE
    facts["plan"] = {HOSTILE: {"x": [HOSTILE, RTL]}}
    facts["environment"] = {HOSTILE: RTL}
    facts["cards"] = {HOSTILE: {**synthetic.CARDS["evasion"], "title": HOSTILE}, **facts["cards"]}
    folder = synthetic.build(
        tmp_path,
        name=HOSTILE,
        methods=[HOSTILE, RTL, "n" * 200],
        sparsities=[0.5],
        seeds=[0],
        n=60,
        facts=facts,
    )
    with Ledger.open(
        folder / "run.sqlite", {"plan_digest": synthetic.DIGEST}, [UnitRow("h", "p", HOSTILE)]
    ) as ledger:
        rows = [
            MeasurementRow(HOSTILE, 0, HOSTILE, HOSTILE, {HOSTILE: RTL}, status="failed", note=HOSTILE),
            MeasurementRow(HOSTILE, 0, HOSTILE + RTL, "plugin_metric", {"eps": "nan"}, 3.25),
        ]
        ledger.append(
            "h",
            variant=VariantRow(HOSTILE, 0, HOSTILE, 0.5, 0.5),
            measurements=rows,
            error=HOSTILE,
            seconds=0,
            finished="",
        )
    text = render(read(folder))
    page = Page(text)
    assert text.count("<script") == 1  # the page's own
    assert not {tag for tag, _ in page.tags} & {"img"}
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", text)
    assert "{{ 7*7 }}" in "".join(page.text)
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[\w-]+", i or "") for i in ids)


def test_a_large_run_stays_small(tmp_path: Path, synthetic: ModuleType) -> None:
    """45 (variant, seed) pairs of 43 rows each."""
    sparsities = [i / 14 for i in range(1, 14)]
    big = read(synthetic.build(tmp_path, methods=["m"], sparsities=sparsities))
    assert len(big.variants) == 45
    assert len(big.measurements) == 45 * 43
    assert len(render(big).encode()) < 700_000


@pytest.mark.parametrize("seeds", [[], [0]])
def test_an_empty_run_and_a_model_alone_have_a_page(
    tmp_path: Path, synthetic: ModuleType, seeds: list[int]
) -> None:
    folder = synthetic.build(tmp_path, methods=[], seeds=seeds, control=False)
    page = Page(render(read(folder)))
    said = " ".join("".join(page.text).split())
    assert ("Nothing has been measured yet." in said) is not bool(seeds)
    assert ("No pruned version was measured" in said) is bool(seeds)


def test_a_run_with_no_more_facts_than_its_digest_has_a_page(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "run.sqlite", {"plan_digest": "d"}, []):
        pass
    Page(render(read(tmp_path)))


def test_the_two_questions_have_a_table_each_and_one_seed_has_one(
    results: Results, synthetic: ModuleType, tmp_path: Path
) -> None:
    analysis = analyse(results)
    these, again = tables.comparison_table(analysis), tables.retraining_table(analysis)
    assert these is not None
    assert again is not None
    assert [row[0] for row in these.rows] == [row[0] for row in again.rows]
    assert [row[2].value for row in these.rows] == pytest.approx([row[2].value for row in again.rows])
    assert [row[2].text for row in these.rows] != [row[2].text for row in again.rows]
    assert "retraining" in again.caption
    synthetic.build(tmp_path, seeds=[0], n=200, sparsities=[0.5], methods=["m"])
    assert tables.retraining_table(analyse(read(tmp_path))) is None
