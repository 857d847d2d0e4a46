"""The results file: one SQLite database that outlives the run. Anyone can open it with SQLite's own tools.

A unit of work writes its rows once, in one transaction, so that a killed run holds whole units only.
"""

import io
import json
import math
import sqlite3
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCHEMA_VERSION = 2
READABLE = (1, 2)
"""Schemas that can be read; version 1 held one plan, in tables that have the names of the views of today."""

SCHEMA = """
CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE every_unit (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, label TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'planned', seconds REAL, finished TEXT, error TEXT,
    planned INTEGER NOT NULL DEFAULT 1, examples INTEGER NOT NULL DEFAULT 0,
    "rows" INTEGER NOT NULL DEFAULT 0);
CREATE TABLE every_variant (
    variant TEXT NOT NULL, seed INTEGER NOT NULL, method TEXT NOT NULL, sparsity REAL,
    achieved_sparsity REAL, control INTEGER NOT NULL DEFAULT 0, digest TEXT, file TEXT,
    note TEXT NOT NULL DEFAULT '', unit TEXT PRIMARY KEY REFERENCES every_unit (id));
CREATE TABLE every_measurement (
    unit TEXT NOT NULL REFERENCES every_unit (id), variant TEXT NOT NULL, seed INTEGER NOT NULL,
    probe TEXT NOT NULL, metric TEXT NOT NULL, at TEXT NOT NULL,
    value REAL, low REAL, high REAL, n INTEGER,
    status TEXT NOT NULL, note TEXT NOT NULL DEFAULT '', outcomes BLOB,
    PRIMARY KEY (unit, variant, seed, probe, metric, at));
CREATE TABLE part (unit TEXT PRIMARY KEY REFERENCES every_unit (id), arrays BLOB NOT NULL);
CREATE VIEW unit AS
    SELECT id, kind, label, status, seconds, finished, error FROM every_unit WHERE planned;
CREATE VIEW variant AS
    SELECT every_variant.* FROM every_variant JOIN every_unit ON every_unit.id = unit WHERE planned;
CREATE VIEW measurement AS
    SELECT every_measurement.* FROM every_measurement JOIN every_unit ON every_unit.id = unit WHERE planned;
"""
"""The views show the plan as it stands; the tables keep what earlier plans of the same subject computed, and
in ``part`` what one unit left for those after it."""


class LedgerError(Exception):
    """The results file is missing, damaged, of another version or of another subject."""


@dataclass(frozen=True, slots=True)
class UnitRow:
    """A planned unit of work: ``id`` hashes all that determines it."""

    id: str
    kind: str
    label: str
    examples: int = 0
    """How many examples it is about, for progress; 0 where it is about none."""


@dataclass(frozen=True, slots=True)
class UnitState:
    """What became of a unit of the plan as it stands."""

    kind: str
    label: str
    status: str
    """"planned", "done" or "failed"."""
    seconds: float | None
    error: str | None
    examples: int


@dataclass(frozen=True, slots=True)
class VariantRow:
    """One model that exists: a (variant, seed) pair. ``digest`` is the SHA-256 of its weights file."""

    variant: str
    seed: int
    method: str
    sparsity: float | None
    achieved_sparsity: float | None
    control: bool = False
    digest: str | None = None
    file: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class MeasurementRow:
    """One figure (or the reason why there is none) of one variant and seed."""

    variant: str
    seed: int
    probe: str
    metric: str
    at: Mapping[str, str | int | float] = field(default_factory=dict)
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    status: str = "ok"
    note: str = ""
    outcomes: Mapping[str, NDArray[np.generic]] | None = None


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values, equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def pack(outcomes: Mapping[str, NDArray[np.generic]] | None) -> bytes | None:
    """Per-example evidence as a compressed npz (no pickle)."""
    if outcomes is None:
        return None
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **{k: np.asarray(v) for k, v in outcomes.items()})
    return buffer.getvalue()


def unpack(blob: bytes | None, only: Collection[str] | None = None) -> dict[str, NDArray[np.generic]] | None:
    """The inverse of :func:`pack`, of all arrays or of those named ``only``.

    Raises LedgerError for bytes that are no arrays.
    """
    if blob is None:
        return None
    try:
        with np.load(io.BytesIO(blob), allow_pickle=False) as data:
            return {name: data[name] for name in data.files if only is None or name in only}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, KeyError, AttributeError) as error:
        raise LedgerError(
            f"the results file is damaged: evidence of examples in it cannot be read: {error}"
        ) from error


def _checked(row: MeasurementRow) -> MeasurementRow:
    """A row fit to be kept; a figure that is not a number becomes a visible failure.

    Raises ValueError where value and status, or value and interval, contradict each other.
    """
    numbers = [v for v in (row.value, row.low, row.high) if v is not None]
    if not all(math.isfinite(v) for v in numbers):
        note = f"{row.note}; not finite: value {row.value}, interval [{row.low}, {row.high}]".lstrip("; ")
        return MeasurementRow(
            row.variant, row.seed, row.probe, row.metric, row.at, n=row.n, status="failed", note=note
        )
    if (row.status == "ok") != (row.value is not None):
        raise ValueError(f"{row.metric} {dict(row.at)}: status {row.status!r} with value {row.value}")
    if (
        row.value is not None
        and row.low is not None
        and row.high is not None
        and not row.low <= row.value <= row.high
    ):
        raise ValueError(
            f"{row.metric} {dict(row.at)}: {row.value} outside its interval [{row.low}, {row.high}]"
        )
    return row


class Ledger:
    """The results file, open for one writer. Use as a context manager."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    @classmethod
    def open(cls, path: Path, about: Mapping[str, Any], units: Iterable[UnitRow]) -> "Ledger":
        """Create the file for a subject (``about["identity"]``), or open it again for the same one.

        ``units`` is the plan as it stands: what is done of it stays done, what is new is added as planned,
        and what is no longer in it is kept, and not shown. Raises LedgerError if the file belongs to another
        subject (the message says in what they differ), is damaged or is not a results file.
        """
        db = connect(path)
        try:
            db.execute("PRAGMA foreign_keys=ON")
            # A file without a table is one that a killed run had only just begun.
            if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
                db.execute("PRAGMA journal_mode=WAL")
                with db:
                    db.executescript("BEGIN;" + SCHEMA)
                    _put(db, {"schema": SCHEMA_VERSION, "identity": about.get("identity", {})})
            stored = about_run(db, path)
            _sound(db, path, stored["schema"])
            if stored["schema"] != SCHEMA_VERSION:
                raise LedgerError(f"{path} was written by an earlier version of prune-audit")
            if other := differences(stored["identity"], about.get("identity", {})):
                raise LedgerError(f"{path} holds another subject: {'; '.join(other)}")
            with db:
                _put(db, about)
                db.execute("UPDATE every_unit SET planned = 0")
                db.executemany(
                    "INSERT INTO every_unit (id, kind, label, examples) VALUES (?, ?, ?, ?) "
                    "ON CONFLICT (id) DO UPDATE SET planned = 1",
                    [(u.id, u.kind, u.label, u.examples) for u in units],
                )
        except (sqlite3.DatabaseError, LedgerError) as error:
            db.close()
            if isinstance(error, LedgerError) or _refuses_writing(error):
                raise
            raise LedgerError(f"{path} cannot be used as a results file: {error}") from error
        return cls(db)

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def note(self, **facts: Any) -> None:
        """Keep further facts about the run."""
        with self._db as db:
            _put(db, facts)

    def done(self) -> set[str]:
        """Ids of units that have written their rows; a failed unit is not done and runs again."""
        return {row[0] for row in self._db.execute("SELECT id FROM every_unit WHERE status = 'done'")}

    def variant(self, unit: str) -> VariantRow | None:
        """The variant that a unit made, if it has."""
        row = self._db.execute(
            "SELECT variant, seed, method, sparsity, achieved_sparsity, control, digest, file, note "
            "FROM every_variant WHERE unit = ?",
            (unit,),
        ).fetchone()
        if row is None:
            return None
        name, seed, method, sparsity, achieved, control, digest, file, note = row
        return VariantRow(name, seed, method, sparsity, achieved, bool(control), digest, file, note)

    def part(self, unit: str) -> dict[str, NDArray[np.generic]] | None:
        """What a unit left for those after it, if it has."""
        row = self._db.execute("SELECT arrays FROM part WHERE unit = ?", (unit,)).fetchone()
        return None if row is None else unpack(row[0])

    def append(
        self,
        unit: str,
        *,
        seconds: float,
        finished: str,
        variant: VariantRow | None = None,
        measurements: Sequence[MeasurementRow] = (),
        part: Mapping[str, NDArray[np.generic]] | None = None,
        error: str | None = None,
    ) -> None:
        """Write all rows of one unit in one transaction; rows of an earlier, failed try are replaced."""
        rows = [_checked(row) for row in measurements]
        with self._db as db:
            for table in ("every_measurement", "every_variant", "part"):
                db.execute("DELETE FROM " + table + " WHERE unit = ?", (unit,))  # noqa: S608
            if variant is not None:
                db.execute(
                    "INSERT INTO every_variant VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        variant.variant, variant.seed, variant.method, variant.sparsity,
                        variant.achieved_sparsity, int(variant.control), variant.digest, variant.file,
                        variant.note, unit,
                    ),
                )  # fmt: skip
            if part is not None:
                db.execute("INSERT INTO part VALUES (?, ?)", (unit, pack(part)))
            db.executemany(
                "INSERT INTO every_measurement VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        unit, r.variant, r.seed, r.probe, r.metric, canonical(dict(r.at)),
                        r.value, r.low, r.high, r.n, r.status, r.note, pack(r.outcomes),
                    )
                    for r in rows
                ],
            )  # fmt: skip
            db.execute(
                'UPDATE every_unit SET status = ?, seconds = ?, finished = ?, error = ?, "rows" = ? '
                "WHERE id = ?",
                ("failed" if error else "done", seconds, finished, error, len(rows), unit),
            )


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """In what two identities (name → value) differ: ``name: old → new``; long digests are cut."""

    def said(identity: Mapping[str, Any], name: str) -> str:
        value = identity.get(name)
        return "none" if value is None else str(value) if len(str(value)) < 64 else f"{str(value)[:12]}…"

    return [
        f"{name}: {said(old, name)} → {said(new, name)}"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]


def _refuses_writing(error: Exception) -> bool:
    """Whether it is the place that cannot be written, rather than the file that is wrong."""
    codes = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
    return getattr(error, "sqlite_errorcode", -1) & 0xFF in codes


def _sound(db: sqlite3.Connection, path: Path, schema: int) -> None:
    """Raises LedgerError if pages are damaged or missing, or a unit that is done has not all of its rows."""
    found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise LedgerError(f"{path} is damaged: {found}")
    if schema == 1:
        return
    short = db.execute(
        'SELECT label FROM every_unit WHERE "rows" != '
        "(SELECT count(*) FROM every_measurement WHERE unit = every_unit.id) LIMIT 1"
    ).fetchone()
    if short is not None:
        raise LedgerError(f"{path} is damaged: {short[0]} has not the rows that it wrote")


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the database file; raises LedgerError if it cannot be opened."""
    options = "mode=rwc"
    if read_only:
        # SQLite writes beside a file in WAL mode even to read it, which an archive may not allow; without a
        # log nobody is writing, and the file alone is the whole database.
        log = path.with_name(f"{path.name}-wal")
        options = "mode=ro" if log.exists() else "mode=ro&immutable=1"
    try:
        return sqlite3.connect(f"{path.resolve().as_uri()}?{options}", uri=True)
    except sqlite3.Error as error:
        raise LedgerError(f"{path} cannot be opened: {error}") from error


def _put(db: sqlite3.Connection, values: Mapping[str, Any]) -> None:
    db.executemany(
        "INSERT OR REPLACE INTO run (key, value) VALUES (?, ?)",
        [(key, canonical(value)) for key, value in values.items()],
    )


def about_run(db: sqlite3.Connection, path: Path) -> dict[str, Any]:
    """The run's own facts: plan, environment, cards, … Raises LedgerError on a damaged or foreign file."""
    try:
        about = {key: json.loads(value) for key, value in db.execute("SELECT key, value FROM run")}
    except (sqlite3.DatabaseError, ValueError) as error:
        raise LedgerError(f"{path} is not a results file of prune-audit: {error}") from error
    if about.get("schema") not in READABLE:
        raise LedgerError(
            f"{path} has schema {about.get('schema')}, this version reads {SCHEMA_VERSION}: "
            "use the version of prune-audit that wrote it"
        )
    return about


def read_tables(path: Path) -> tuple[dict[str, Any], dict[str, list[tuple[Any, ...]]]]:
    """The plan as it stands, read-only: the run's facts, and the rows of unit, variant and measurement.

    Column order is that of the views in :data:`SCHEMA`. Raises LedgerError.
    """
    orders = {
        "unit": "kind, label, id",
        "variant": "variant, seed",
        "measurement": "variant, seed, probe, metric, at",
    }
    with reading(path) as (db, about):
        return about, {
            table: db.execute("SELECT * FROM " + table + " ORDER BY " + order).fetchall()  # noqa: S608
            for table, order in orders.items()
        }


def read_units(path: Path) -> tuple[dict[str, Any], list[UnitState]]:
    """The run's facts, and the state of every unit of the plan as it stands, in planned order. Raises
    LedgerError."""
    with reading(path) as (db, about):
        source = "unit" if about["schema"] == 1 else "every_unit WHERE planned"
        examples = "0" if about["schema"] == 1 else "examples"
        query = f"SELECT kind, label, status, seconds, error, {examples} FROM {source} ORDER BY rowid"  # noqa: S608
        return about, [UnitState(*row) for row in db.execute(query)]


def kept(path: Path) -> tuple[dict[str, Any], set[str]]:
    """The run's facts, and the ids of all units that are done, of whatever plan; nothing of a file that is
    not there, or that a killed run had only just begun. Raises LedgerError."""
    if not path.is_file():
        return {}, set()
    with closing(connect(path, read_only=True)) as db:
        try:
            if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
                return {}, set()
        except sqlite3.DatabaseError as error:
            raise LedgerError(f"{path} is not a results file of prune-audit: {error}") from error
    with reading(path) as (db, about):
        table = "unit" if about["schema"] == 1 else "every_unit"
        rows = db.execute(f"SELECT id FROM {table} WHERE status = 'done'")  # noqa: S608
        return about, {row[0] for row in rows}


@contextmanager
def reading(path: Path) -> Iterator[tuple[sqlite3.Connection, dict[str, Any]]]:
    """The file, open for reading in one transaction and found sound, and the run's facts. Raises
    LedgerError, also where the file turns out to be damaged later on."""
    if not path.is_file():
        raise LedgerError(f"{path} does not exist: is this the folder of a run?")
    with closing(connect(path, read_only=True)) as db:
        about = about_run(db, path)
        try:
            db.execute("BEGIN")
            _sound(db, path, about["schema"])
            yield db, about
        except sqlite3.DatabaseError as error:
            raise LedgerError(f"{path} is damaged: {error}") from error
