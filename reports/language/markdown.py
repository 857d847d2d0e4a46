"""Names and sentences that stay text in GitHub's Markdown: no markup, no mention, no link, no table cell."""

import re

from reports.language.words import shown

_JOINER = "\N{WORD JOINER}"
_PUNCTUATION = re.compile(r"([\\`*_{}\[\]<>()#+!|~$&:-])")
_LIVE = re.compile(r"@|#(?=\d)|GH-(?=\d)|://|www\.", re.IGNORECASE)
"""What GitHub turns into mentions, references and links, even where it is escaped."""


def code(name: object, limit: int = 200) -> str:
    """A name as a code span, fit for a table cell: nothing in it is looked at."""
    # A pipe ends a table cell even inside code; with a backslash before it, only if those do not pair up.
    inner = re.sub(r"(\\*)\|", lambda found: found[1] * 2 + r"\|", shown(name, limit)).strip() or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", inner)), default=0))
    pad = " " if "`" in (inner[0], inner[-1]) else ""
    return f"{fence}{pad}{inner}{pad}{fence}"


def text(sentence: object, limit: int = 600) -> str:
    """A sentence with every character of Markdown escaped, and an invisible joint in what would be a link."""
    joined = _LIVE.sub(
        lambda found: found.group().replace("/", f"{_JOINER}/", 1) + _JOINER, shown(sentence, limit)
    )
    return _PUNCTUATION.sub(r"\\\1", joined)
