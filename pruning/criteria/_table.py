"""The table of criteria in the documents, made from the criteria themselves.

``python -m pruning.criteria._table docs/pruning.md`` writes it between its two markers.
"""

import sys
from pathlib import Path

from pruning.criteria import criteria, plugins

BEGIN = "<!-- made by: python -m pruning.criteria._table docs/pruning.md -->"
END = "<!-- end -->"
LOOKS = {"weights": "weights", "model": "the network", "data": "training examples"}


def table() -> str:
    """A row for each criterion of this package, sorted by name; Markdown."""
    rows = ["| `criterion` | what it is | looks at | a unit | source |", "|---|---|---|---|---|"]
    foreign = {label.partition("'")[2].rstrip("'") for label in plugins()}
    for name, criterion in criteria().items():
        if name in foreign:
            continue  # another package's: these documents are not its own
        unit = {"l1": "the sum", "l2": "root of the squares", None: "as it says"}[criterion.norm]
        only = " (units only)" if criterion.units_only else ""
        what = criterion.summary.rstrip(".").replace("|", "\\|")
        cells = (f"`{name}`{only}", what, LOOKS[criterion.needs], unit, criterion.source)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def filled(text: str) -> str:
    """A document with the table between its markers; raises ValueError where it has none."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document wants the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
