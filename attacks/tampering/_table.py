"""The table of tampering attacks in the documents, made from the attacks themselves.

``python -m attacks.tampering._table docs/tampering.md`` writes it between its two markers.
"""

import inspect

from attacks import _document
from attacks._techniques import techniques
from attacks.tampering._attack import TamperingAttack
from attacks.tampering._settings import PACKAGE

BEGIN = "<!-- made by: python -m attacks.tampering._table docs/tampering.md -->"


def table() -> str:
    """A row for each attack of this package, in the order in which they run; Markdown."""
    known = techniques(PACKAGE, TamperingAttack)
    rows = [
        "| attack | from level | changes | measures | what it is |",
        "|---|---|---|---|---|",
    ]
    for name, attack in sorted(known.items(), key=lambda item: (item[1].cost, item[0])):
        module = inspect.getmodule(attack.run)
        if module is None or not module.__name__.startswith(PACKAGE):
            continue  # another package's: these documents are not its own
        what = (inspect.getdoc(module) or "").splitlines()[0].rstrip(".")
        metrics = ", ".join(f"`{metric}`" for metric in attack.metrics)
        rows.append(f"| `{name}` | {attack.level or 'by name'} | {attack.writes} | {metrics} | {what} |")
    return "\n".join(rows)


def filled(text: str) -> str:
    """A document with the table between its markers; raises ValueError where it has none."""
    return _document.filled(text, BEGIN, table())


if __name__ == "__main__":
    _document.rewrite(filled)
