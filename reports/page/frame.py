"""The frame of a self-contained page: templates, one style sheet, and a policy that allows nothing else."""

import base64
import hashlib
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from reports.language import words

TEMPLATES = Path(__file__).parent / "templates"


def csp(style: str, script: str = "") -> str:
    """The Content-Security-Policy that allows this style sheet and script, pictures inside the page, and
    nothing else; without a script, none."""
    scripts = f"script-src '{_hash(script)}'; " if script else ""
    return (
        f"default-src 'none'; style-src-elem '{_hash(style)}'; style-src-attr 'unsafe-inline'; "
        f"{scripts}img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def environment(*more: Path) -> Environment:
    """Templates of the page and of further folders; all text is escaped and cleaned."""
    return Environment(
        loader=FileSystemLoader([*more, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: words.clean(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def file(name: str) -> str:
    """A file of the templates, as text."""
    return (TEMPLATES / name).read_text(encoding="utf-8")
