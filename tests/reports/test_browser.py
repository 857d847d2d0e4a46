"""The page in a headless Chromium, over file://, with the network cut."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from reports.write import write

A4 = 688
"""Pixels between the margins of a printed page."""
HOSTILE = "</script><script>document.title='owned'</script>\u202e" + "w" * 200


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, run_folder: Path) -> Path:
    folder = tmp_path_factory.mktemp("page")
    shutil.copy(run_folder / "run.sqlite", folder)
    return write(folder, ["html"])[0]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, synthetic: ModuleType) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    methods = [HOSTILE, "n" * 200, "مرحبا"]
    synthetic.build(folder, name=HOSTILE, methods=methods, sparsities=[0.5], seeds=[0], n=60)
    return write(folder, ["html"])[0]


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a file; the block fails on any request beyond it and on any word in the console."""

    @contextmanager
    def show(path: Path, width: int = 1280, scheme: str = "light", script: bool = True) -> Iterator[Any]:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            java_script_enabled=script,
            offline=True,
        )
        page = context.new_page()
        requests: list[str] = []
        said: list[str] = []

        def decide(route: Any) -> None:
            requests.append(route.request.url)
            if route.request.url == path.as_uri():
                route.continue_()
            else:
                route.abort()

        page.route("**/*", decide)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(path.as_uri(), wait_until="load")
        yield page
        assert requests == [path.as_uri()]
        assert said == []
        context.close()

    return show  # type: ignore[return-value]


AXE = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}


def violations(page: Any) -> list[str]:
    """What axe finds wrong with the page as it stands, one line each."""
    found = Axe().run(page, options=AXE).response
    assert any(rule["id"] == "color-contrast" for rule in found["passes"])
    return [f"{v['id']}: {node['html'][:200]}" for v in found["violations"] for node in v["nodes"][:3]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(opened: Callable[..., Any], case_folders: dict[str, Path], scheme: str) -> None:
    """On the page that has everything, all opened: findings, pictures, flags, folded tables."""
    with opened(case_folders["pictures"] / "report.html", scheme=scheme) as page:
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert violations(page) == []


@pytest.mark.parametrize("name", ["crashed", "one variant", "empty"])
def test_axe_finds_nothing_where_little_was_measured(
    opened: Callable[..., Any], case_folders: dict[str, Path], name: str
) -> None:
    with opened(case_folders[name] / "report.html") as page:
        assert violations(page) == []


def test_axe_would_find_a_fault(
    opened: Callable[..., Any], case_folders: dict[str, Path], tmp_path: Path
) -> None:
    faint = tmp_path / "faint.html"
    text = (case_folders["empty"] / "report.html").read_text(encoding="utf-8")
    faint.write_text(text.replace('<p class="kind">', '<p style="color: #ddd">'), encoding="utf-8")
    with opened(faint) as page:
        assert [line.partition(":")[0] for line in violations(page)] == ["color-contrast"]


@pytest.mark.parametrize("name", ["fail", "crashed", "60 variants", "1000 classes", "empty", "pictures"])
@pytest.mark.parametrize("width", [360, 1280])
def test_every_kind_of_run_loads_alone_and_fits(
    opened: Callable[..., Any], case_folders: dict[str, Path], name: str, width: int
) -> None:
    with opened(case_folders[name] / "report.html", width) as page:
        assert sideways(page) == 0
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert sideways(page) == 0


def test_pictures_are_shown_and_no_other_is_let_in(
    opened: Callable[..., Any], case_folders: dict[str, Path], tmp_path: Path
) -> None:
    path = case_folders["pictures"] / "report.html"
    with opened(path) as page:
        sizes = page.evaluate("[...document.images].map(i => [i.complete, i.naturalWidth])")
        assert sizes == [[True, 8]] * 9
    text = path.read_text(encoding="utf-8").replace(
        "</main>", '<img alt="" src="https://example.com/x.png"></main>'
    )
    (tmp_path / "report.html").write_text(text, encoding="utf-8")
    with pytest.raises(AssertionError, match="Content Security Policy"), opened(tmp_path / "report.html"):
        pass


def test_at_twice_the_size_it_still_fits(opened: Callable[..., Any], report: Path) -> None:
    """A window of 1280 pixels at 200% zoom is one of 640 CSS pixels."""
    with opened(report, 640) as page:
        assert sideways(page) == 0
        assert page.locator(".lead").is_visible()
        heights = page.evaluate(
            "[...document.querySelectorAll('.tile')].map(t => t.scrollWidth - t.clientWidth)"
        )
        assert set(heights) == {0}


def sideways(page: Any) -> int:
    """By how many pixels the page scrolls sideways."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.mark.parametrize("width", [360, 768, 1280])
@pytest.mark.parametrize("which", ["report", "hostile"])
def test_it_loads_alone_without_a_word_and_fits(
    opened: Callable[..., Any], request: pytest.FixtureRequest, which: str, width: int
) -> None:
    with opened(request.getfixturevalue(which), width) as page:
        assert sideways(page) == 0
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert sideways(page) == 0
        assert "owned" not in page.title().replace("'owned'", "")
        assert page.evaluate("document.scripts.length") == 1


def test_the_style_sheet_passes_its_own_policy(opened: Callable[..., Any], report: Path) -> None:
    with opened(report) as page:
        assert page.evaluate("getComputedStyle(document.querySelector('.tiles')).display") == "grid"
        line = page.locator(".finding svg path[fill=none][stroke*=series-1]").last
        assert line.evaluate("e => getComputedStyle(e).stroke") == "rgb(0, 114, 178)"


def test_the_policy_stops_another_script(opened: Callable[..., Any], report: Path, tmp_path: Path) -> None:
    """Not the page's escaping but its policy is tried here: a script smuggled into the file must not run."""
    text = report.read_text(encoding="utf-8").replace(
        "</main>", "<script>document.title='owned'</script></main>"
    )
    poisoned = tmp_path / "poisoned.html"
    poisoned.write_text(text, encoding="utf-8")
    with pytest.raises(AssertionError, match="Content Security Policy"), opened(poisoned) as page:
        title = page.title()
    assert title != "owned"


def test_light_and_dark_differ_and_both_are_drawn(
    opened: Callable[..., Any], report: Path, tmp_path: Path
) -> None:
    papers = {}
    for scheme in ("light", "dark"):
        with opened(report, scheme=scheme) as page:
            page.screenshot(path=tmp_path / f"{scheme}.png")
            papers[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        picture = Image.open(tmp_path / f"{scheme}.png").convert("L")
        colours = picture.getcolors(256)
        assert colours is not None
        assert len(colours) > 50
        most = max(colours)[1]
        assert (most > 200) is (scheme == "light")
    assert papers == {"light": "rgb(254, 254, 254)", "dark": "rgb(20, 23, 27)"}


def test_it_reads_without_javascript(opened: Callable[..., Any], report: Path) -> None:
    with opened(report, script=False) as page:
        assert page.locator("h1").inner_text() == "demo"
        summary = page.locator("#chart-clean-accuracy summary")
        table = page.locator("#chart-clean-accuracy table")
        assert not table.is_visible()
        summary.click()
        assert table.is_visible()


def test_the_keyboard_reaches_everything_in_order(opened: Callable[..., Any], report: Path) -> None:
    with opened(report) as page:
        wanted = page.evaluate(
            "[...document.querySelectorAll('a[href], summary, [tabindex=\"0\"]')]"
            ".filter(e => e.checkVisibility()).length"
        )
        seen = []
        for _ in range(wanted):
            page.keyboard.press("Tab")
            seen.append(
                page.evaluate(
                    "(() => { const e = document.activeElement; const o = getComputedStyle(e).outlineStyle;"
                    " return [[...document.querySelectorAll('*')].indexOf(e), o]; })()"
                )
            )
    places = [place for place, _ in seen]
    assert places == sorted(set(places))
    assert {outline for _, outline in seen} == {"solid"}


def test_the_keyboard_reaches_every_scrolling_region(opened: Callable[..., Any], report: Path) -> None:
    with opened(report, 360) as page:
        unreachable = page.evaluate(
            """() => [...document.querySelectorAll('*')].filter(e =>
                 e.scrollWidth > e.clientWidth + 1 && e.tabIndex !== 0
                 && ['auto', 'scroll'].includes(getComputedStyle(e).overflowX)).length"""
        )
        assert unreachable == 0
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"


def test_the_script_sorts_and_filters_tables(opened: Callable[..., Any], report: Path) -> None:
    with opened(report) as page:
        rows = page.locator("#against-dense ~ .scroll").first.locator("tbody tr")
        head = page.locator("#against-dense ~ .scroll").first.locator("th[scope=col]").nth(2)

        def values() -> list[float]:
            return [
                float(v)
                for v in rows.locator("td:nth-child(3) data").evaluate_all("e => e.map(d => d.value)")
            ]

        before = values()
        head.locator("button").click()
        assert values() == sorted(before)
        assert head.get_attribute("aria-sort") == "ascending"
        head.locator("button").click()
        assert values() == sorted(before, reverse=True)
        page.locator("#against-dense ~ input.filter").first.fill("FILTER-L2")
        shown = [row for row in rows.all() if row.is_visible()]
        assert len(shown) == 4


def test_the_script_picks_out_two_variants_in_every_chart_and_table(
    opened: Callable[..., Any], report: Path
) -> None:
    with opened(report) as page:
        picks = page.locator(".pick select")
        picks.nth(0).select_option(label="filter-l2 at 90%")
        picks.nth(1).select_option(label="filter-l2 at 95%")
        number = page.evaluate("[...document.querySelectorAll('.pick select')].map(s => s.value)")
        wrong = page.evaluate(
            """chosen => [...document.querySelectorAll('svg [data-v]')]
                 .filter(e => e.dataset.v.split(' ').some(n => chosen.includes(n)) ===
                         e.classList.contains('faint')).length""",
            number,
        )
        assert wrong == 0
        assert page.locator("svg .faint").count() > 20
        rows = page.locator("#against-dense ~ .scroll").first.locator("tbody tr[data-v]")
        assert len([row for row in rows.all() if row.is_visible()]) == 2
        between = page.locator(".pick output")
        fold = page.locator("details.pairs")
        row = fold.locator("tr", has_text="filter-l2 at 95% minus filter-l2 at 90%")
        told = between.inner_text()
        assert told.startswith("filter-l2 at 95% minus filter-l2 at 90%:")
        for cell in row.locator("td data").all():
            assert cell.text_content() in told
        assert fold.locator("tbody tr:not(.aside)").count() == 1
        assert violations(page) == []
        picks.nth(1).select_option(label="dense")
        dense = page.locator("#against-dense ~ .scroll").first.locator("tr", has_text="filter-l2@0.9").first
        assert "filter-l2 at 90% minus dense:" in between.inner_text()
        assert dense.locator("td data").nth(1).text_content() in between.inner_text()
        picks.nth(0).select_option(index=0)
        picks.nth(1).select_option(index=0)
        assert between.is_hidden()
        assert page.locator(".faint, tr.aside").count() == 0


def test_the_first_screen_has_the_answer_and_the_matrix(opened: Callable[..., Any], report: Path) -> None:
    """At 1280×900 down to the last variant; nothing stands between the two."""
    with opened(report) as page:
        box = page.locator(".matrix tbody tr").last.bounding_box()
        assert box["y"] + box["height"] <= 900
        assert page.locator(".answer + h3 + .scroll .matrix").count() == 1


def test_on_a_phone_the_answer_is_followed_by_the_matrix_at_once(
    opened: Callable[..., Any], report: Path
) -> None:
    """At 360×740; and charts name their lines in a legend, since their labels find no place."""
    with opened(report, 360) as page:
        box = page.locator(".matrix tbody tr").first.bounding_box()
        assert box["y"] + box["height"] <= 740
        below = page.locator(".answer").bounding_box()
        assert page.locator(".matrix").first.bounding_box()["y"] - below["y"] - below["height"] < 60
        legends = page.locator("#findings .legend.narrow")
        assert legends.count() > 0
        assert legends.first.is_visible()
        assert "filter-l2" in legends.first.inner_text()
    with opened(report, 1280) as page:
        assert page.locator("#findings .legend.narrow").first.is_hidden()


def test_folds_are_open_in_print(opened: Callable[..., Any], report: Path) -> None:
    count_hidden = """[...document.querySelectorAll('details:not(.bulk) > :not(summary, .bulk)')]
        .filter(e => !e.checkVisibility({contentVisibilityAuto: true})).length"""
    with opened(report, script=False) as page:
        assert page.evaluate(count_hidden) > 0  # on screen they are folded: the count can fail
        page.emulate_media(media="print")
        # On a busy machine the browser restyles a moment after it took the medium.
        for _ in range(100):
            hidden = page.evaluate(count_hidden)
            if hidden == 0:
                break
            page.wait_for_timeout(100)
    assert hidden == 0


def test_nothing_on_paper_is_wider_than_the_paper(opened: Callable[..., Any], report: Path) -> None:
    """A browser would shrink every page for the widest table, and cut off what is wider still."""
    with opened(report, A4, script=False) as page:
        page.emulate_media(media="print")
        assert page.evaluate("document.documentElement.scrollWidth") <= A4


def test_it_prints(opened: Callable[..., Any], report: Path) -> None:
    with opened(report) as page:
        document = page.pdf(format="A4")
    assert document.startswith(b"%PDF")
    assert 3 <= document.count(b"/Type /Page\n") <= 30
