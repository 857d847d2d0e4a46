"""The table of membership attacks in the documents, made from the attacks themselves.

``python -m attacks.membership._table docs/membership.md`` writes it between its two markers.
"""

import inspect

from attacks import _document
from attacks._techniques import techniques
from attacks.membership._attack import MembershipAttack
from attacks.membership._settings import LEVELS, PACKAGE

BEGIN = "<!-- made by: python -m attacks.membership._table docs/membership.md -->"


def table() -> str:
    """A row for each attack of this package, by level and name; Markdown."""
    levels = [*LEVELS, None]
    known = techniques(PACKAGE, MembershipAttack)
    rows = ["| attack | from level | needs | what it is |", "|---|---|---|---|"]
    for name, attack in sorted(known.items(), key=lambda item: (levels.index(item[1].level), item[0])):
        module = inspect.getmodule(attack.run)
        if module is None or not module.__name__.startswith(PACKAGE):
            continue  # another package's: these documents are not its own
        needs = attack.needs if attack.sees != "probabilities" else f"{attack.needs}, no labels"
        what = (inspect.getdoc(module) or "").splitlines()[0].rstrip(".")
        rows.append(f"| `{name}` | {attack.level or ''} | {needs} | {what} |")
    return "\n".join(rows)


def filled(text: str) -> str:
    """A document with the table between its markers; raises ValueError where it has none."""
    return _document.filled(text, BEGIN, table())


if __name__ == "__main__":
    _document.rewrite(filled)
