"""The table of evasion attacks in the documents, made from the attacks themselves.

``python -m attacks.evasion._table docs/evasion.md`` writes it between its two markers.
"""

import inspect
import sys
from pathlib import Path

from attacks._techniques import techniques
from attacks.evasion._attack import EvasionAttack
from attacks.evasion._settings import PACKAGE

BEGIN = "<!-- made by: python -m attacks.evasion._table docs/evasion.md -->"
END = "<!-- end -->"


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
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document wants the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    document = Path(sys.argv[1])
    document.write_text(filled(document.read_text(encoding="utf-8")), encoding="utf-8")
