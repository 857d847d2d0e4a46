"""The table of extraction attacks in the documents, made from the attacks themselves.

``python -m attacks.extraction._table docs/extraction.md`` writes it between its two markers.
"""

import inspect

from attacks import _document
from attacks._techniques import techniques
from attacks.extraction._attack import ExtractionAttack
from attacks.extraction._settings import PACKAGE

BEGIN = "<!-- made by: python -m attacks.extraction._table docs/extraction.md -->"


def table() -> str:
    """A row for each attack of this package, in the order in which they run; Markdown."""
    known = techniques(PACKAGE, ExtractionAttack)
    rows = [
        "| attack | from level | sees | sends | what it is |",
        "|---|---|---|---|---|",
    ]
    for name, attack in sorted(known.items(), key=lambda item: (item[1].cost, item[0])):
        module = inspect.getmodule(attack.run)
        if module is None or not module.__name__.startswith(PACKAGE):
            continue  # another package's: these documents are not its own
        sends = {"pool": "its pool", "made": "what it makes"}[attack.sends]
        what = (inspect.getdoc(module) or "").splitlines()[0].rstrip(".")
        cells = (f"`{name}`", attack.level or "by name", attack.sees, sends, what)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def filled(text: str) -> str:
    """A document with the table between its markers; raises ValueError where it has none."""
    return _document.filled(text, BEGIN, table())


if __name__ == "__main__":
    _document.rewrite(filled)
