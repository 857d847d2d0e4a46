"""Every measurement as a row of a parquet file, with a column for each condition instead of JSON."""

import importlib.util
import json
from numbers import Real
from typing import Any

import pandas as pd

from reports.data.results import Results
from reports.gate.judge import Verdicts

FILE = "measurements.parquet"
ENGINES = ("pyarrow", "fastparquet")
"""What pandas writes it by; one must be installed."""
MODEL = ("variant", "method", "sparsity", "achieved_sparsity", "seed", "probe", "metric")
FIGURE = ("value", "low", "high", "n", "status", "note")


class NoParquetError(Exception):
    """Nothing that writes parquet is installed; the message says what to install."""


def available() -> bool:
    """Whether something that writes parquet is installed."""
    return any(importlib.util.find_spec(name) is not None for name in ENGINES)


def table(results: Results) -> pd.DataFrame:
    """One row a measurement: model, probe and metric, a column for each condition of any metric (split, norm,
    eps, attack, …; missing where a metric has none such), then the figure and its status."""
    rows = results.measurements
    conditions = pd.DataFrame(list(rows["conditions"]), index=rows.index)
    return pd.concat([rows[list(MODEL)], conditions, rows[list(FIGURE)]], axis=1)


def render(results: Results, verdicts: Verdicts | None = None, baseline: Results | None = None) -> bytes:
    """The table as a file. A condition that is a number everywhere is a float column; any other that is not
    text everywhere has its values as JSON. Raises NoParquetError."""
    del verdicts, baseline
    if not available():
        raise NoParquetError(f"{FILE} needs pyarrow: pip install 'prune-audit[parquet]'")
    found = table(results).reset_index(drop=True)
    for name in found.columns.difference([*MODEL, *FIGURE]):
        found[name] = _uniform(found[name])
    found["n"] = pd.to_numeric(found["n"]).astype("Int64")
    return bytes(found.to_parquet(index=False))


def _uniform(column: pd.Series) -> pd.Series:
    """Values of one type: parquet has one a column."""
    there = column.dropna()
    if all(isinstance(value, Real) and not isinstance(value, bool) for value in there):
        return pd.to_numeric(column).astype("float64")
    if all(isinstance(value, str) for value in there):
        return column.astype("object").where(column.notna(), None)
    return column.map(_json, na_action="ignore").astype("object").where(column.notna(), None)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
