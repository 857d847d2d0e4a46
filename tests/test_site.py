"""The documentation's site: every document is in it once, and every link leads to a page of it or is none."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_of_docs", ROOT / "docs" / "site.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pages() -> list[str]:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    return [page for section in nav for group in section.values() for page in group]


def test_the_navigation_has_every_document_once(site: ModuleType) -> None:
    documents = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").glob("*.md")}
    assert sorted(pages()) == sorted({*documents, *site.PAGES.values()})


def test_every_link_between_documents_is_one_of_the_site(site: ModuleType) -> None:
    kept = 0
    for page in pages():
        outside = {there: source for source, there in site.PAGES.items()}
        file = ROOT / outside[page] if page in outside else ROOT / "docs" / page
        for _, _, target in site.LINK.findall(site.relinked(file.read_text(encoding="utf-8"), page)):
            path = target.partition("#")[0]
            if not path or "://" in path:
                continue
            place = (Path(page).parent / path).as_posix()
            place = place.removeprefix("project/../")
            assert place in pages() or (ROOT / "docs" / place).is_file(), f"{page}: {target}"
            kept += 1
    assert kept > 30


def test_a_link_to_what_the_site_has_not_becomes_a_name(site: ModuleType) -> None:
    assert site.relinked("[the recipe](../examples/ci)", "gate.md") == "the recipe (`examples/ci`)"
    assert site.relinked("[here](docs/gate.md#exit-codes)", "index.md") == "[here](gate.md#exit-codes)"
    assert site.relinked("[up](../README.md)", "gate.md") == "[up](index.md)"
    assert (
        site.relinked("[map](ARCHITECTURE.md)", "project/CONTRIBUTING.md")
        == "[map](../project/ARCHITECTURE.md)"
    )


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="mkdocs is not installed: extra docs")
def test_the_site_builds_strictly(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "index.html").is_file()
    assert "audit_examples" in (tmp_path / "site" / "reference" / "index.html").read_text(encoding="utf-8")
