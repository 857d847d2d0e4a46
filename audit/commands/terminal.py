"""What commands say: plain lines on standard output, complaints on standard error, JSON for programs."""

import gc
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

console = Console(soft_wrap=True)


@contextmanager
def brisk() -> Iterator[None]:
    """A short command, without the collector: all that it makes stays, and looking for what does not is a
    tenth of its time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def say(line: str, to: Console | None = None) -> None:
    """One line as it is: no markup is read in it, no colours are put in it."""
    (to or console).print(line, highlight=False, markup=False)


def complain(message: str) -> None:
    """The same on the error output."""
    say(message, Console(stderr=True, soft_wrap=True))


def pairs(rows: Iterable[tuple[str, str]]) -> None:
    """Names and values, one a line."""
    table = Table(show_header=False, box=None)
    for name, value in rows:
        table.add_row(name, Text(value))
    console.print(table, highlight=False)


def grid(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table with headings; a log has no width, and gets one row a line."""
    wide = console if console.is_terminal else Console(file=console.file, width=160)
    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    wide.print(table, highlight=False)


def as_json(value: Any) -> None:
    """For programs."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
