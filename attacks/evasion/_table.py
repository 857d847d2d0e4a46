"""The table of evasion attacks in the documents, made from the attacks themselves.

``python -m attacks.evasion._table docs/evasion.md`` writes it between its two markers.
"""

import inspect

from attacks import _document
from attacks._techniques import techniques
from attacks.evasion._attack import EvasionAttack
from attacks.evasion._settings import PACKAGE

BEGIN = "<!-- made by: python -m attacks.evasion._table docs/evasion.md -->"


def table() -> str:
    """A row for each attack of this package, in the order in which they run; Markdown."""
    known = techniques(PACKAGE, EvasionAttack)
    rows = [
        "| attack | from level | sees | attacks | norms | what it is |",
        "|---|---|---|---|---|---|",
    ]
    for name, attack in sorted(known.items(), key=lambda item: (item[1].cost, item[0])):
        module = inspect.getmodule(attack.run)
        if module is None or not module.__name__.startswith(PACKAGE):
            continue  # another package's: these documents are not its own
        whom = {"all": "all examples", "survivors": "survivors"}[attack.on]
        what = (inspect.getdoc(module) or "").splitlines()[0].rstrip(".")
        cells = (f"`{name}`", attack.level or "", attack.sees, whom, ", ".join(attack.norms), what)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def filled(text: str) -> str:
    """A document with the table between its markers; raises ValueError where it has none."""
    return _document.filled(text, BEGIN, table())


if __name__ == "__main__":
    _document.rewrite(filled)
