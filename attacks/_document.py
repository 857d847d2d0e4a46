"""Tables in the documents that are made from the attacks themselves, between two markers."""

import sys
from collections.abc import Callable
from pathlib import Path

END = "<!-- end -->"


def filled(text: str, begin: str, table: str) -> str:
    """A document with the table between the marker ``begin`` and :data:`END`.

    Raises ValueError where it has no markers.
    """
    before, found, rest = text.partition(begin)
    _, end, after = rest.partition(END)
    if not found or not end:
        raise ValueError(f"the document wants the lines {begin} and {END}")
    return f"{before}{begin}\n\n{table}\n\n{END}{after}"


def rewrite(fill: Callable[[str], str]) -> None:
    """Fill the document that the command line names."""
    document = Path(sys.argv[1])
    document.write_text(fill(document.read_text(encoding="utf-8")), encoding="utf-8")
