"""Hands units out as their parents finish, the longest way first, and writes down what comes back."""

import graphlib
import heapq
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from datetime import UTC, datetime

from attacks.probe import Part, merged
from audit.engine import Engine, WorkerDied
from audit.progress import Monitor
from audit.unit import Unit
from audit.work import Given, Result, crashed
from reports.data.ledger import Ledger, VariantRow

STAGES = 32
"""Stages, of all models together, whose finds are kept at hand."""


def ways(work: Iterable[Unit]) -> dict[str, float]:
    """By unit, the passes that it and the longest chain of units after it take. ``work``: parents first."""
    found: dict[str, float] = {}
    children: dict[str, list[str]] = {}
    for unit in reversed(list(work)):
        found[unit.id] = unit.passes + max((found[child] for child in children.get(unit.id, ())), default=0.0)
        for parent in unit.parents:
            children.setdefault(parent, []).append(unit.id)
    return found


def needed(work: list[Unit], done: set[str]) -> list[Unit]:
    """The work without what nobody waits for: the pieces of a probe that is done, if they are not."""
    wanted: set[str] = set()
    kept = []
    for unit in reversed(work):
        if unit.kind not in ("piece", "perturbations") or unit.id in done or unit.id in wanted:
            kept.append(unit)
            if unit.id not in done:
                wanted.update(unit.parents)
    return kept[::-1]


class Schedule:
    """A unit that kills its worker is tried once more, alone."""

    def __init__(
        self, work: list[Unit], done: set[str], ledger: Ledger, engine: Engine, monitor: Monitor
    ) -> None:
        self._units = {unit.id: unit for unit in work}
        self._done, self._ledger, self._engine, self._monitor = done, ledger, engine, monitor
        self._ways = ways(work)
        self._made: dict[str, VariantRow] = {}
        self._errors: dict[str, str] = {}
        self._stages: dict[tuple[str, ...], Part] = {}
        self._ready: list[tuple[float, int, Unit]] = []
        """A heap, the longest way first."""
        self._solo: list[Unit] = []
        """To be timed, or suspected of killing workers: they wait to run alone."""
        self._queued = 0
        self._flying: dict[Future[Result], Unit] = {}
        self._suspects: set[str] = set()
        self._failed = 0

    def run(self) -> int:
        """Do everything; returns the number of failed units."""
        known = self._units
        order = graphlib.TopologicalSorter(
            {name: [parent for parent in unit.parents if parent in known] for name, unit in known.items()}
        )
        order.prepare()
        while order.is_active():
            for name in order.get_ready():
                if name in self._done:
                    row = self._ledger.variant(name)
                    if row is not None:
                        self._made[name] = row
                    order.done(name)
                else:
                    self._queue(self._units[name])
            self._start()
            if self._flying:
                for unit in self._land():
                    order.done(unit.id)
        return self._failed

    def _queue(self, unit: Unit) -> None:
        if unit.alone or unit.id in self._suspects:
            self._solo.append(unit)
        else:
            self._queued += 1
            heapq.heappush(self._ready, (-self._ways[unit.id], self._queued, unit))

    def _start(self) -> None:
        """Fill the free slots."""
        if any(unit.alone or unit.id in self._suspects for unit in self._flying.values()):
            return
        while self._ready and len(self._flying) < self._engine.slots:
            self._submit(heapq.heappop(self._ready)[2])
        if not self._flying and self._solo:
            self._submit(self._solo.pop(0))

    def _submit(self, unit: Unit) -> None:
        self._flying[self._engine.submit(unit, self._given(unit))] = unit

    def _given(self, unit: Unit) -> Given:
        known: Part = {}
        place, lost = len(unit.parents) - sum(unit.pieces), ""
        for count in unit.pieces:
            stage = unit.parents[place : place + count]
            left = self._left(stage)
            if left is None:
                errors = (self._errors[piece] for piece in stage if piece in self._errors)
                lost = lost or next(errors, "a piece of its work is missing")
            known = {**known, **(left or {})}
            place += count
        return Given({name: self._made[name] for name in unit.parents if name in self._made}, known, lost)

    def _left(self, stage: tuple[str, ...]) -> Part | None:
        """What the pieces of one stage left, of all their examples; None if one is missing. Kept for the next
        that asks, since every piece of the stages after it does."""
        if stage not in self._stages:
            while len(self._stages) >= STAGES:
                self._stages.pop(next(iter(self._stages)))
            parts = [part for piece in stage if (part := self._ledger.part(piece)) is not None]
            if len(parts) < len(stage):
                return None
            self._stages[stage] = merged(parts)
        return self._stages[stage]

    def _land(self) -> list[Unit]:
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
            if self._engine.shares_fate:
                died += self._flying.values()
                self._flying.clear()
            self._engine.restart()
            for unit in died:
                if unit.id in self._suspects:
                    self._keep(unit, crashed(unit, "the worker process was killed (out of memory?)"))
                    landed.append(unit)
                else:
                    self._suspects.add(unit.id)
                    self._queue(unit)
        return landed

    def _keep(self, unit: Unit, result: Result) -> None:
        self._ledger.append(
            unit.id, seconds=result.seconds, finished=datetime.now(UTC).isoformat(timespec="seconds"),
            variant=result.variant, measurements=result.measurements, part=result.part, error=result.error,
        )  # fmt: skip
        if result.variant is not None:
            self._made[unit.id] = result.variant
        if result.error is not None:
            self._errors[unit.id] = result.error
        self._failed += result.error is not None
        self._monitor.finished(unit, result.seconds, result.error)
