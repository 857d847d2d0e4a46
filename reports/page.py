"""The report: one self-contained page, a pure function of the results."""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports import sections, tiles, words
from reports.analysis import analyse
from reports.results import Results
from reports.summary import summarise

TEMPLATES = Path(__file__).parent / "templates"


def render(results: Results) -> str:
    """The page as HTML. The same results give the same bytes; nothing in it asks for anything else.

    Every name is escaped as hostile; the Content-Security-Policy allows this page's own style sheet (by its
    hash) and style attributes, and nothing else: no script, no image, no request.
    """
    analysis = analyse(results)
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src-elem 'sha256-{digest}'; style-src-attr 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'"
    )
    about = results.about
    return _environment().get_template("page.html").render(
        policy=policy,
        style=Markup(style),  # noqa: S704 (our own file)
        title=words.shown(about.get("plan_name") or "run", 120),
        subject_line=sections.subject_line(results),
        summary=summarise(analysis),
        tiles=tiles.tiles(analysis),
        tiles_heading=tiles.heading(analysis),
        state=results.completeness,
        trouble=sections.trouble_table(results),
        comparison=sections.comparison_table(analysis),
        against_control=analysis.control and sections.comparison_table(analysis, analysis.control),
        sections=_anchored(sections.sections(results)),
        subject=_rows(about.get("subject", {})),
        settings=sections.settings_rows(about.get("plan", {})),
        methods=_methods(results),
        environment=_rows(about.get("environment", {})),
        command=words.shown(about.get("command") or "", 2000),
        started=words.shown(about.get("started") or words.DASH),
        plan_digest=words.shown(about["plan_digest"]),
        weights=sections.weights_table(results),
        measurements=sections.measurement_table(results),
        count=len(results.measurements),
    )  # fmt: skip


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: words.clean(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _style() -> str:
    return (TEMPLATES / "style.css").read_text(encoding="utf-8")


def _anchored(found: list[sections.Section]) -> list[tuple[str, sections.Section]]:
    """Each section with an id that is unique on the page, whatever the probe is called."""
    used: set[str] = set()
    anchored = []
    for number, section in enumerate(found, 1):
        name = "probe-" + (re.sub(r"[^a-z0-9]+", "-", section.probe.lower()).strip("-")[:40] or str(number))
        anchor = f"{name}-{number}" if name in used else name
        used.add(anchor)
        anchored.append((anchor, section))
    return anchored


def _rows(table: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name.replace("_", " "), value) for name, value in sections.settings_rows(table)]


def _methods(results: Results) -> list[tuple[str, ...]]:
    """The methods of this run with what they do and where they are from."""
    used = {str(m) for m in results.variants["method"]}
    known = results.about.get("methods", {})
    return [
        (words.shown(name), *(words.shown(known[name].get(key, ""), 600) for key in ("summary", "source")))
        for name in sorted(known)
        if name in used
    ]
