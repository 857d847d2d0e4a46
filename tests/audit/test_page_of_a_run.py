"""The report of a real run, opened in a real browser."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from reports.write import write


@pytest.fixture(scope="module")
def page(reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "out"
    shutil.copytree(reference / "out", out)
    write(out)
    return out / "report.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_opens_without_errors_requests_or_sideways_scroll(
    browser: Any, page: Path, scheme: str, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True)
    try:
        tab = context.new_page()
        said: list[str] = []
        asked: list[str] = []
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(page.as_uri())
        assert asked == [page.as_uri()]
        assert said == []
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.locator("svg").count() >= 6
        assert tab.locator("h1").inner_text() == "plan"
        ids = tab.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
        assert len(ids) == len(set(ids))
    finally:
        context.close()


def test_the_check_would_notice_a_request(browser: Any, page: Path, tmp_path: Path) -> None:
    """The control: a page that asks for a picture beside it is caught."""
    (tmp_path / "page.html").write_text("<img src='picture.png'>", encoding="utf-8")
    tab = browser.new_page()
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto((tmp_path / "page.html").as_uri())
    tab.close()
    assert len(asked) == 2


def test_rendered_twice_gives_the_same_bytes(page: Path) -> None:
    before = page.read_bytes()
    write(page.parent)
    assert page.read_bytes() == before
