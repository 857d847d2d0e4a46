"""Runs a plan: schedules its units, writes each result once, resumes where a run stopped."""

import graphlib
import os
import sqlite3
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from rich.console import Console

from audit import about
from audit.engine import Engine, Inline, Local, WorkerDied
from audit.errors import IncompleteError, PlanError
from audit.preflight import Subject
from audit.progress import Monitor
from audit.status import LOCK, RESULTS
from audit.units import Unit, units
from audit.work import Context, Result, crashed
from reports.data.ledger import Ledger, LedgerError, UnitRow, VariantRow

EngineName = Literal["inline", "local"]


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
) -> Outcome:
    """Run what is left of the plan into the folder ``out``; units that are done, under this plan or an
    earlier one of the same subject, are not computed again.

    Raises PlanError if ``out`` is not this subject's folder, IncompleteError if the results cannot be
    written; KeyboardInterrupt passes through after everything finished is kept.
    """
    plan = subject.plan
    work = units(plan, subject.data, subject.device)
    _check_folder(out)
    try:
        (out / "models").mkdir(parents=True, exist_ok=True)
        with FileLock(out / LOCK, timeout=0.5), _open(subject, out, work, command) as ledger:
            done = ledger.done()
            todo = [unit for unit in work if unit.id not in done]
            slots = jobs or min(os.cpu_count() or 1, max(1, len(todo)))
            if not todo:
                return Outcome(len(work), 0, 0)
            if len(todo) < len(work) and not log_json:
                console.print(
                    f"Resuming: {len(work) - len(todo)} of {len(work)} units are done.", highlight=False
                )
            ledger.note(jobs=1 if engine == "inline" else slots)
            context = Context(plan, subject.data, out, subject.device)
            chosen: Engine = Inline(context) if engine == "inline" else Local(context, slots)
            try:
                with Monitor(console, todo, chosen.slots, log=log_json) as monitor:
                    failed = _Schedule(work, done, ledger, chosen, monitor).run()
            except BaseException:
                chosen.close(at_once=True)
                raise
            chosen.close()
            return Outcome(len(work), len(todo), failed)
    except Timeout:
        raise PlanError(
            f"{out}: another prune-audit is writing to this folder; wait for it, or choose another --out"
        ) from None
    except (sqlite3.Error, OSError) as error:
        raise IncompleteError(
            f"{out / RESULTS}: cannot be written: {error}; what is finished is kept: "
            "mend that and run the same command again"
        ) from error


def _check_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise PlanError(f"--out {out}: is a file; choose a folder")
    if (
        out.is_dir()
        and not (out / RESULTS).exists()
        and any(p.name not in ("models", LOCK) for p in out.iterdir())
    ):
        raise PlanError(f"--out {out}: the folder is not empty and holds no run; choose another")


def _open(subject: Subject, out: Path, work: Iterable[Unit], command: str) -> Ledger:
    facts = about.run(subject, list(work), command)
    if (out / RESULTS).exists():
        del facts["started"]  # a resumed run began when it began
    rows = [UnitRow(unit.id, unit.family, unit.label, unit.examples) for unit in work]
    try:
        return Ledger.open(out / RESULTS, facts, rows)
    except LedgerError as error:
        raise PlanError(
            f"--out {out}: {error}; nothing was written: choose another --out, or delete that folder"
        ) from None


class _Schedule:
    """Hands units out as their parents finish; a unit that kills its worker is tried once more, alone."""

    def __init__(
        self, work: list[Unit], done: set[str], ledger: Ledger, engine: Engine, monitor: Monitor
    ) -> None:
        self._units = {unit.id: unit for unit in work}
        self._done, self._ledger, self._engine, self._monitor = done, ledger, engine, monitor
        self._made: dict[str, VariantRow] = {}
        self._flying: dict[Future[Result], Unit] = {}
        self._suspects: set[str] = set()
        self._failed = 0

    def run(self) -> int:
        """Do everything; returns the number of failed units."""
        order = graphlib.TopologicalSorter({unit.id: unit.parents for unit in self._units.values()})
        order.prepare()
        ready: list[Unit] = []
        while order.is_active():
            for name in order.get_ready():
                if name in self._done:
                    row = self._ledger.variant(name)
                    if row is not None:
                        self._made[name] = row
                    order.done(name)
                else:
                    ready.append(self._units[name])
            self._start(ready)
            if self._flying:
                for unit in self._land(ready):
                    order.done(unit.id)
        return self._failed

    def _start(self, ready: list[Unit]) -> None:
        """Fill the free slots; units to be timed or suspected of killing workers wait to run alone."""

        def solo(unit: Unit) -> bool:
            return unit.alone or unit.id in self._suspects

        if any(solo(unit) for unit in self._flying.values()):
            return
        for unit in [u for u in ready if not solo(u)][: self._engine.slots - len(self._flying)]:
            self._submit(unit, ready)
        if not self._flying and ready:
            self._submit(ready[0], ready)

    def _submit(self, unit: Unit, ready: list[Unit]) -> None:
        ready.remove(unit)
        made = {parent: self._made[parent] for parent in unit.parents if parent in self._made}
        self._flying[self._engine.submit(unit, made)] = unit

    def _land(self, ready: list[Unit]) -> list[Unit]:
        """Write down what has finished; returns those units."""
        finished, _ = wait(self._flying, return_when=FIRST_COMPLETED)
        landed, died = [], []
        for future in finished:
            unit = self._flying.pop(future)
            try:
                result = future.result()
            except WorkerDied:
                died.append(unit)
                continue
            self._keep(unit, result)
            landed.append(unit)
        if died:
            died += self._flying.values()  # all that flew is lost with the pool
            self._flying.clear()
            self._engine.restart()
            for unit in died:
                if unit.id in self._suspects:
                    self._keep(unit, crashed(unit, "the worker process was killed (out of memory?)"))
                    landed.append(unit)
                else:
                    self._suspects.add(unit.id)
                    ready.append(unit)
        return landed

    def _keep(self, unit: Unit, result: Result) -> None:
        self._ledger.append(
            unit.id, seconds=result.seconds, finished=datetime.now(UTC).isoformat(timespec="seconds"),
            variant=result.variant, measurements=result.measurements, error=result.error,
        )  # fmt: skip
        if result.variant is not None:
            self._made[unit.id] = result.variant
        self._failed += result.error is not None
        self._monitor.finished(unit, result.seconds, result.error)
