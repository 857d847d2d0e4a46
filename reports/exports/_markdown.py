"""Text inside Markdown, whatever it holds: nothing of it becomes markup, a link or a mention."""

from collections.abc import Iterable, Sequence

from reports.exports._text import plain

_MARKUP = frozenset("\\`*_[]<>|~&#@$")


def prose(text: object, limit: int = 400) -> str:
    """Text in a sentence or a table's cell."""
    # A comment behind @ keeps what follows from being read as somebody's name.
    return _escaped(text, limit).replace("&#64;", "&#64;<!-- -->")


def code(text: object, limit: int = 80) -> str:
    """A name, as code: mentions and references are not looked for there."""
    return f"<code>{_escaped(text, limit)}</code>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table's lines; cells are escaped already."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def _escaped(text: object, limit: int) -> str:
    escaped = "".join(f"&#{ord(c)};" if c in _MARKUP else c for c in plain(text, limit))
    # Else ://  and  www.  are made links by themselves.
    return escaped.replace("://", ":&#47;/").replace("www.", "www&#46;")
