"""Every measurement as a row of comma-separated values."""

import csv
import io
from typing import Any

import pandas as pd

from reports.data.results import Results
from reports.gate.judge import Verdicts

FILE = "measurements.csv"
COLUMNS = (
    "variant", "method", "sparsity", "achieved_sparsity", "seed", "probe", "metric", "at", "value", "low",
    "high", "n", "status", "note",
)  # fmt: skip
"""Names and order that other tools rely on."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def render(results: Results, verdicts: Verdicts | None = None, baseline: Results | None = None) -> str:
    """Comma-separated, UTF-8, line feeds; numbers to full precision, an empty field where there is none.

    Text that a spreadsheet would run as a formula (it begins with ``=``, ``+``, ``-``, ``@`` or a control
    character) is given a leading apostrophe, as OWASP advises; numbers are never touched.
    """
    del verdicts, baseline
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in results.measurements.to_dict("records"):
        writer.writerow([_field(row[column]) for column in COLUMNS])
    return buffer.getvalue()


def _field(value: Any) -> str:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    if pd.isna(value):
        return ""
    return repr(float(value)) if isinstance(value, float) else str(value)
