"""Results: the results file, read, sorted and ready to be selected from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from reports.data.ledger import LedgerError, read_tables
from reports.language import metrics

FILE = "run.sqlite"
PROBES = ("accuracy", "evasion", "membership", "extraction", "tampering", "cost")
"""The order in which probes are shown; others follow by name."""

_UNIT = ("id", "kind", "label", "status", "seconds", "finished", "error")
_VARIANT = (
    "variant", "seed", "method", "sparsity", "achieved_sparsity", "control", "digest", "file", "note", "unit",
)  # fmt: skip
_MEASUREMENT = (
    "unit", "variant", "seed", "probe", "metric", "at", "value", "low", "high", "n", "status", "note",
    "outcomes",
)  # fmt: skip
_COLUMNS = (
    "unit", "variant", "seed", "method", "sparsity", "achieved_sparsity", "control", "probe", "metric", "at",
    "conditions", "value", "low", "high", "n", "status", "note", "outcomes",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Completeness:
    """How much of the plan is in the file, in units of work, and how many rows have no figure."""

    planned: int
    done: int
    failed: int
    rows: Mapping[str, int]
    """Measurement rows by status."""

    @property
    def waiting(self) -> int:
        """Units that have not run."""
        return self.planned - self.done - self.failed

    @property
    def complete(self) -> bool:
        """Whether every planned unit is done."""
        return self.done == self.planned


@dataclass(frozen=True, slots=True)
class Variant:
    """What is known of a variant over its seeds. ``achieved_sparsity`` is their mean, None if unknown."""

    name: str
    method: str
    sparsity: float | None
    achieved_sparsity: float | None
    control: bool
    seeds: int

    @property
    def pruned(self) -> bool:
        """Whether this is neither dense nor a control."""
        return self.method != "dense" and not self.control

    @property
    def series(self) -> str:
        """What it is drawn with: the variants of its method; a model of the user's own stands alone."""
        return self.name if self.method == "checkpoint" else self.method

    @property
    def strength(self) -> float | None:
        """The sparsity asked for, or the achieved one where none was."""
        return self.achieved_sparsity if self.sparsity is None else self.sparsity


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """One run. The frames are sorted: dense, controls, then methods by name and sparsity; then seeds.

    ``variants``: one row per (variant, seed): variant, seed, method, sparsity, achieved_sparsity, control,
    digest, file, note, unit.
    ``measurements``: one row per figure: unit, variant, seed, method, sparsity, achieved_sparsity, control,
    probe, metric, at (canonical JSON), conditions (the same as a dict), value, low, high (NaN where there is
    none), n, status, note, outcomes (packed, see :func:`reports.data.ledger.unpack`).
    ``units``: one row per unit of work: id, kind, label, status, seconds, finished, error.
    """

    about: Mapping[str, Any]
    variants: pd.DataFrame
    measurements: pd.DataFrame
    units: pd.DataFrame
    completeness: Completeness
    made: Mapping[str, Variant]
    """Every variant of which at least one seed was made, by name, in order."""
    by_metric: Mapping[str, pd.DataFrame]
    """The measurements of each metric, so that one need not be searched for among all."""

    def select(
        self,
        metric: str,
        at: Mapping[str, Any] | None = None,
        *,
        variant: str | None = None,
        measured: bool = True,
    ) -> pd.DataFrame:
        """Rows of a metric whose conditions include ``at``; ``measured``: only those with a figure."""
        rows = self.by_metric.get(metric, self.measurements.iloc[:0])
        if variant is not None:
            rows = rows[rows["variant"] == variant]
        if measured:
            rows = rows[rows["status"] == "ok"]
        if at and len(rows):
            wanted = at.items()
            rows = rows[[all(c.get(k) == v for k, v in wanted) for c in rows["conditions"]]]
        return rows

    def names(self, *, pruned: bool | None = None) -> list[str]:
        """Variant names in order; ``pruned=True``: without dense and controls, ``False``: only those."""
        return [v.name for v in self.made.values() if pruned is None or v.pruned == pruned]

    @property
    def seeds(self) -> int:
        """The largest number of seeds that any variant has."""
        return max((variant.seeds for variant in self.made.values()), default=0)

    @property
    def probes(self) -> list[str]:
        """Probes that have rows or a card, in order of showing."""
        names = {*self.measurements["probe"], *self.about.get("cards", {})}
        return sorted(names, key=probe_rank)


def probe_rank(name: str) -> tuple[int, str]:
    """Sorting key of a probe; cost comes last."""
    order = {probe: i for i, probe in enumerate(PROBES)}
    return (order["cost"] if name == "cost" else order.get(name, order["cost"] - 1), name)


def read(folder: Path) -> Results:
    """Read the run in a folder, or in a results file by itself. Raises
    :class:`reports.data.ledger.LedgerError` where there is none, or it is damaged."""
    folder, name = (folder.parent, folder.name) if folder.is_file() else (folder, FILE)
    about, tables = read_tables(folder / name)
    units = pd.DataFrame(tables["unit"], columns=list(_UNIT))
    try:
        variants = _variants(tables["variant"])
        measurements = _measurements(tables["measurement"], variants)
    except (ValueError, TypeError, AttributeError) as error:
        raise LedgerError(f"{folder / name} is damaged: a row cannot be read: {error}") from error
    measured = set(measurements.loc[measurements["status"] == "ok", "variant"])
    if lost := measured - set(variants["variant"]):
        raise LedgerError(f"{folder / name} is damaged: it has figures of {min(lost)}, and not the model")
    status = units["status"].value_counts()
    completeness = Completeness(
        planned=len(units),
        done=int(status.get("done", 0)),
        failed=int(status.get("failed", 0)),
        rows=MappingProxyType({str(k): int(v) for k, v in measurements["status"].value_counts().items()}),
    )
    by_metric = {str(name): rows for name, rows in measurements.groupby("metric", sort=False)}
    return Results(
        MappingProxyType(about), variants, measurements, units, completeness, _made(variants),
        MappingProxyType(by_metric),
    )  # fmt: skip


def _made(variants: pd.DataFrame) -> Mapping[str, Variant]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in variants.to_dict("records"):
        groups.setdefault(row["variant"], []).append({str(k): v for k, v in row.items()})
    made = {}
    for name, rows in groups.items():
        first = rows[0]
        achieved = [r["achieved_sparsity"] for r in rows if not pd.isna(r["achieved_sparsity"])]
        made[name] = Variant(
            name,
            first["method"],
            None if pd.isna(first["sparsity"]) else first["sparsity"],
            sum(achieved) / len(achieved) if achieved else None,
            bool(first["control"]),
            len(rows),
        )
    return MappingProxyType(made)


def _variants(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    records = sorted((dict(zip(_VARIANT, row, strict=True)) for row in rows), key=_variant_rank)
    frame = pd.DataFrame(records, columns=list(_VARIANT))
    return frame.astype({"sparsity": float, "achieved_sparsity": float, "control": bool})


def _variant_rank(row: Mapping[str, Any]) -> tuple[Any, ...]:
    group = 0 if row["method"] == "dense" else 1 if row["control"] else 2
    # NaN compares with nothing, so that a variant of unknown sparsity sorts as -1.
    known = [-1.0 if pd.isna(row[k]) else float(row[k]) for k in ("sparsity", "achieved_sparsity")]
    sparsity = known[0] if known[0] >= 0 else known[1]
    return (group, str(row["method"]), sparsity, str(row["variant"]), int(row["seed"]))


def _measurements(rows: list[tuple[Any, ...]], variants: pd.DataFrame) -> pd.DataFrame:
    made = variants.to_dict("records")
    known = {(v["variant"], v["seed"]): v for v in made}
    named = {v["variant"]: v for v in reversed(made)}
    records = []
    for row in rows:
        record: dict[str, Any] = dict(zip(_MEASUREMENT, row, strict=True))
        owner = known.get((record["variant"], record["seed"])) or named.get(record["variant"]) or {}
        if not owner:
            # The model itself could not be made: its rows still say what they are of.
            method, _, sparsity = record["variant"].rpartition("@")
            owner = {"method": method or record["variant"], "sparsity": _number(sparsity)}
        for key, default in (
            ("method", ""),
            ("sparsity", None),
            ("achieved_sparsity", None),
            ("control", False),
        ):
            record[key] = owner.get(key, default)
        record["conditions"] = json.loads(record["at"])
        records.append(record)
    records.sort(
        key=lambda r: (
            _variant_rank(r),
            probe_rank(r["probe"]),
            metrics.rank(r["metric"]),
            r["metric"],
            condition_rank(r["conditions"]),
        )
    )
    frame = pd.DataFrame(records, columns=list(_COLUMNS))
    numbers = ("value", "low", "high", "sparsity", "achieved_sparsity")
    return frame.astype({**dict.fromkeys(numbers, float), "n": "Int64", "control": bool})


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def condition_rank(at: Mapping[str, Any]) -> tuple[Any, ...]:
    """Sorting key of conditions: by key, numbers in numeric order."""
    return tuple(
        (key, isinstance(value, str), value if isinstance(value, str | int | float) else str(value))
        for key, value in sorted(at.items())
    )
