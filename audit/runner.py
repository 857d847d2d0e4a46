"""Runs a plan: schedules its units, writes each result once, resumes where a run stopped."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from rich.console import Console

from audit import about, estimate, machine
from audit.cluster import Cluster
from audit.cutting import Cutting
from audit.engine import Engine, Inline, Local
from audit.errors import IncompleteError, PlanError
from audit.preflight import Examination, Subject
from audit.progress import Monitor
from audit.schedule import Schedule, needed
from audit.status import LOCK, RESULTS
from audit.unit import Unit
from audit.units import units
from audit.work import Context
from reports.data.ledger import Ledger, LedgerError, UnitRow, kept

EngineName = Literal["inline", "local", "ray"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run went, in units."""

    planned: int
    computed: int
    failed: int


def run(
    subject: Subject,
    out: Path,
    *,
    engine: EngineName,
    jobs: int | None,
    command: str,
    console: Console,
    log_json: bool = False,
    cutting: Cutting | None = None,
    seen: Examination | None = None,
    address: str | None = None,
) -> Outcome:
    """Run what is left of the plan into the folder ``out``; units that are done, under this plan or an
    earlier one of the same subject, are not computed again.

    Raises PlanError if ``out`` is not this subject's folder, IncompleteError if the results cannot be
    written; KeyboardInterrupt passes through after everything finished is kept. ``cutting``: in place of what
    is measured, once for a folder, and kept there. ``seen``: what preflight has found, for the report;
    ``address``: of a Ray cluster.
    """
    _check_folder(out)
    try:
        (out / "models").mkdir(parents=True, exist_ok=True)
        with FileLock(out / LOCK, timeout=0.5):
            return _run(subject, out, engine, jobs, command, console, log_json, cutting, seen, address)
    except Timeout:
        raise PlanError(
            f"{out}: another prune-audit is writing to this folder; wait for it, or choose another --out"
        ) from None
    except (sqlite3.Error, OSError) as error:
        raise IncompleteError(
            f"{out / RESULTS}: cannot be written: {error}; what is finished is kept: "
            "mend that and run the same command again"
        ) from error


def _run(
    subject: Subject,
    out: Path,
    engine: EngineName,
    jobs: int | None,
    command: str,
    console: Console,
    log_json: bool,
    cutting: Cutting | None,
    seen: Examination | None,
    address: str | None,
) -> Outcome:
    plan, context = subject.plan, Context(subject.plan, subject.data, out, subject.device)
    try:
        known, done = kept(out / RESULTS)
    except LedgerError as error:
        raise _refused(out, error) from None
    pace = known.get("pace") or estimate.pace(subject)
    cutting = cutting or Cutting(subject.macs, pace["seconds"])
    work = needed(units(plan, subject.data, subject.device, cutting), done)
    with _open(subject, out, work, command, resumed=bool(known)) as ledger:
        todo = [unit for unit in work if unit.id not in done]
        ledger.note(pace=pace, **({} if seen is None else {"preflight": seen.facts}))
        if not todo:
            return Outcome(len(work), 0, 0)
        if len(todo) < len(work) and not log_json:
            console.print(
                f"Resuming: {len(work) - len(todo)} of {len(work)} units are done.", highlight=False
            )
        chosen = _engine(engine, context, jobs, int(pace["bytes"]), len(todo), address)
        bears = machine.workers(int(pace["bytes"]))
        if engine == "local" and chosen.slots > bears and not log_json:
            console.print(
                f"{chosen.slots} workers: this machine bears {bears}, by its cores and memory",
                highlight=False,
            )
        ledger.note(jobs=chosen.slots)
        try:
            with Monitor(console, todo, chosen.slots, log=log_json) as monitor:
                failed = Schedule(work, done, ledger, chosen, monitor).run()
        except BaseException:
            chosen.close(at_once=True)
            raise
        chosen.close()
        return Outcome(len(work), len(todo), failed)


def _engine(
    name: EngineName, context: Context, jobs: int | None, memory: int, units: int, address: str | None
) -> Engine:
    """``memory``: bytes that a worker needs; ``units``: how many there are to do."""
    if name == "inline":
        return Inline(context)
    if name == "ray":
        return Cluster(context, jobs, address=address, memory=memory)
    return Local(context, jobs or min(machine.workers(memory), units))


def _check_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise PlanError(f"--out {out}: is a file; choose a folder")
    if (
        out.is_dir()
        and not (out / RESULTS).exists()
        and any(p.name not in ("models", LOCK) for p in out.iterdir())
    ):
        raise PlanError(f"--out {out}: the folder is not empty and holds no run; choose another")


def _open(subject: Subject, out: Path, work: Iterable[Unit], command: str, *, resumed: bool) -> Ledger:
    facts: dict[str, Any] = about.run(subject, list(work), command)
    if resumed:
        del facts["started"]  # a resumed run began when it began
    rows = [UnitRow(unit.id, unit.family, unit.label, unit.examples) for unit in work]
    try:
        return Ledger.open(out / RESULTS, facts, rows)
    except LedgerError as error:
        raise _refused(out, error) from None


def _refused(out: Path, error: LedgerError) -> PlanError:
    return PlanError(
        f"--out {out}: {error}; nothing was written: choose another --out, or delete that folder"
    )
