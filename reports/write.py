"""Writes the exports of a run into its folder."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from reports.exports import exports
from reports.results import read


def write(folder: Path, formats: Sequence[str] = ("html", "csv")) -> list[Path]:
    """Render the run in ``folder`` and write it there, each file whole or not at all; returns their paths.

    Raises :class:`reports.ledger.LedgerError` where there is no run, ValueError on an unknown format, OSError
    where the folder cannot be written to.
    """
    known = exports()
    unknown = [name for name in formats if name not in known]
    if unknown:
        raise ValueError(f"unknown format {unknown[0]!r}: choose from {', '.join(known)}")
    results = read(folder)
    texts = {folder / known[name].file: known[name].render(results) for name in formats}
    for path, text in texts.items():
        replace(path, text)
    return list(texts)


def replace(path: Path, text: str) -> None:
    """Write a text file at once: a reader sees the old file or the new one, never half of it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp's files are for their owner alone
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
