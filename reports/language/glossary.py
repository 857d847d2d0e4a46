"""The page's glossary: terms and what they mean here, from ``glossary.toml``."""

import tomllib
from functools import cache
from pathlib import Path

FILE = Path(__file__).parent / "glossary.toml"


@cache
def terms() -> tuple[tuple[str, str], ...]:
    """(term, meaning), by alphabet."""
    table = tomllib.loads(FILE.read_text(encoding="utf-8"))["terms"]
    return tuple(sorted(table.items(), key=lambda pair: pair[0].lower()))
