"""Progress with the time left: a live bar in a terminal, plain lines elsewhere."""

import time
from collections import defaultdict
from collections.abc import Iterable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from audit.units import Unit

PLAIN_EVERY = 5.0
"""Seconds between plain lines."""


class Monitor:
    """Shows how far a run is. Use as a context manager."""

    def __init__(self, console: Console, todo: Iterable[Unit], slots: int) -> None:
        self._console = console
        self._slots = slots
        self._left: dict[str, Unit] = {unit.id: unit for unit in todo}
        self._total = len(self._left)
        self._spent: defaultdict[str, list[float]] = defaultdict(list)
        self._spoke = time.monotonic()
        self._bar: Progress | None = None
        self._task = TaskID(0)
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
                TimeElapsedColumn(), TextColumn("{task.fields[left]}"), console=console,
            )  # fmt: skip
            self._task = self._bar.add_task("starting", total=self._total, left="")

    def __enter__(self) -> "Monitor":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def finished(self, unit: Unit, seconds: float, error: str | None) -> None:
        """One unit is done, or has failed."""
        self._left.pop(unit.id, None)
        self._spent[_kind(unit)].append(seconds)
        if error is not None:
            self._console.print(
                f"FAILED {unit.label}: {error}", style="bold red", markup=False, highlight=False
            )
        left = f"about {_duration(self.seconds_left())} left" if self._left else "done"
        done = self._total - len(self._left)
        if self._bar is not None:
            self._bar.update(self._task, completed=done, description=unit.label, left=left)
        elif time.monotonic() - self._spoke >= PLAIN_EVERY or not self._left:
            self._spoke = time.monotonic()
            share = f"{done} of {self._total} units, {done / self._total:.0%}"
            self._console.print(
                f"{share}, {left}; last: {unit.label} ({seconds:.1f} s)",
                markup=False, highlight=False, soft_wrap=True,
            )  # fmt: skip

    def seconds_left(self) -> float:
        """From the mean time of finished units of each kind; kinds not seen yet count as the mean of all."""
        everything = [s for times in self._spent.values() for s in times]
        overall = sum(everything) / max(1, len(everything))
        total = 0.0
        for unit in self._left.values():
            times = self._spent.get(_kind(unit))
            total += sum(times) / len(times) if times else overall
        return total / self._slots


def _kind(unit: Unit) -> str:
    return unit.probe or unit.kind


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
