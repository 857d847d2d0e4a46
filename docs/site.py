"""For mkdocs: takes README and the project's other documents into the site, and mends links between them."""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    **{
        f"{name}.md": f"project/{name}.md"
        for name in ("ARCHITECTURE", "CONTRIBUTING", "SECURITY", "CHANGELOG")
    },
}
"""Documents beside docs/, by their place in the site."""
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_config(config: Any) -> Any:
    """Anchors as GitHub makes them, letters of every alphabet kept."""
    from pymdownx.slugs import slugify

    config["mdx_configs"].setdefault("toc", {})["slugify"] = slugify(case="lower")
    return config


def on_files(files: Any, config: Any) -> Any:
    """Adds the project's documents as pages."""
    from mkdocs.structure.files import File

    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links as the site has them."""
    del config, files
    return relinked(markdown, page.file.src_uri)


def relinked(text: str, page: str) -> str:
    """The text of a page with its links mended; one to what the site has not (an example) becomes a name."""
    outside = {site: source for source, site in PAGES.items()}
    home = (ROOT / outside[page]).parent if page in outside else (ROOT / "docs" / page).parent

    def mended(found: re.Match[str]) -> str:
        mark, words, target = found.groups()
        path, _, anchor = target.partition("#")
        if not path or "://" in path or path.startswith("mailto:"):
            return found[0]
        place = (home / path).resolve().relative_to(ROOT.resolve())
        inside = PAGES.get(place.as_posix())
        if inside is None and place.parts[0] == "docs":
            inside = Path(*place.parts[1:]).as_posix()
        if inside is None:
            return words if words == place.as_posix() else f"{words} (`{place.as_posix()}`)"
        up = "../" * (len(Path(page).parts) - 1)
        return f"{mark}[{words}]({up}{inside}{'#' * bool(anchor)}{anchor})"

    return LINK.sub(mended, text)
