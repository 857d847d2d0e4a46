"""Figures over seeds: one row per variant and figure, with the spread that the training seeds show."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import pandas as pd

from reports.data.ledger import canonical
from reports.data.results import Results
from reports.language.metrics import metric
from reports.language.words import counted


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of one variant over its seeds.

    ``value`` is the mean over the seeds that have one (None if none has). ``low`` and ``high`` are the lowest
    and highest seed; with a single seed, the 95% interval of its own measurement.
    """

    variant: str
    probe: str
    metric: str
    at: Mapping[str, Any]
    value: float | None
    low: float | None
    high: float | None
    seeds: int
    """Seeds that have a figure."""
    rows: int
    """Seeds that have a row, with or without a figure."""
    n: int | None
    """Examples per seed (the fewest, where seeds differ)."""
    status: str
    """``ok`` if any seed has a figure, else the first seed's status."""
    note: str


def over_seeds(rows: pd.DataFrame) -> list[Figure]:
    """Gather measurement rows by variant, probe, metric and conditions, in the order of the rows."""
    groups: dict[tuple[str, str, str, str], list[dict[str, Any]]] = {}
    for row in rows.drop(columns="outcomes").to_dict("records"):
        groups.setdefault((row["variant"], row["probe"], row["metric"], row["at"]), []).append(
            {str(k): v for k, v in row.items()}
        )
    return [_figure(group) for group in groups.values()]


def _figure(rows: list[dict[str, Any]]) -> Figure:
    first = rows[0]
    ok = [row for row in rows if row["status"] == "ok"]
    if ok and len(ok) < len(rows) and metric(first["metric"]).least:
        short = [row for row in rows if row["status"] != "ok"]
        note = f"no figure in {counted(len(short), 'seed')} of {len(rows)}: no mean over the others"
        first, ok, rows = short[0], [], [{**row, "note": note} for row in rows]
    values = [float(row["value"]) for row in ok]
    low: float | None = None
    high: float | None = None
    if len(values) > 1:
        low, high = min(values), max(values)
    elif values and not (pd.isna(ok[0]["low"]) or pd.isna(ok[0]["high"])):
        low, high = float(ok[0]["low"]), float(ok[0]["high"])
    counts = [int(row["n"]) for row in ok if not pd.isna(row["n"])]
    return Figure(
        variant=first["variant"],
        probe=first["probe"],
        metric=first["metric"],
        at=first["conditions"],
        value=sum(values) / len(values) if values else None,
        low=low,
        high=high,
        seeds=len(values),
        rows=len(rows),
        n=min(counts) if counts else None,
        status="ok" if ok else first["status"],
        note="; ".join(dict.fromkeys(row["note"] for row in rows if row["note"])),
    )


def figures(results: Results, name: str, at: Mapping[str, Any]) -> Mapping[str, Figure]:
    """One figure per variant that has one, for conditions that determine it."""
    return _figures(results, name, canonical(dict(at)))


@lru_cache(maxsize=512)
def _figures(results: Results, name: str, at: str) -> Mapping[str, Figure]:
    """Kept, since charts, tables and sentences ask for the same ones again and again."""
    known = over_seeds(results.select(name, json.loads(at), measured=not metric(name).least))
    return MappingProxyType({figure.variant: figure for figure in known if figure.value is not None})
