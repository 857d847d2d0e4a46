"""Progress with the time left: a live bar in a terminal, plain lines elsewhere, JSON lines for programs."""

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from audit.unit import Unit

PLAIN_EVERY = 5.0
"""Seconds between plain lines."""


@dataclass(slots=True)
class Pace:
    """How long the finished units of each kind took, an example."""

    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    examples: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Units that are about no examples count as one."""
    units: int = 0

    def took(self, kind: str, examples: int, seconds: float) -> None:
        """One unit has finished."""
        self.seconds[kind] += seconds
        self.examples[kind] += max(1, examples)
        self.units += 1

    def left(self, waiting: Mapping[str, "Waiting"], slots: int) -> float | None:
        """Seconds for what waits, by kind; a unit of a kind not seen yet counts as the mean unit.

        None before anything has finished.
        """
        if not self.units:
            return None
        mean = sum(self.seconds.values()) / self.units
        return sum(
            some.examples * self.seconds[kind] / self.examples[kind]
            if kind in self.examples
            else some.units * mean
            for kind, some in waiting.items()
        ) / max(1, slots)


@dataclass(slots=True)
class Waiting:
    """What waits of one kind."""

    units: int = 0
    examples: int = 0

    def add(self, examples: int, sign: int = 1) -> None:
        """One unit more, or less."""
        self.units += sign
        self.examples += sign * max(1, examples)


class Monitor:
    """Shows how far a run is. Use as a context manager.

    ``log``: one JSON object a line in place of bar and lines: ``event`` ("started", "done", "failed",
    "ended"), ``time``, and of a unit ``unit``, ``kind``, ``label``, ``seconds``, ``error``; units and
    examples done and planned; ``seconds_left``.
    """

    def __init__(self, console: Console, todo: Iterable["Unit"], slots: int, *, log: bool = False) -> None:
        self._console, self._slots, self._log = console, slots, log
        self._left = {unit.id: unit for unit in todo}
        self._total, self._done = len(self._left), 0
        self._examples = sum(unit.examples for unit in self._left.values())
        self._tried = 0
        self._waiting: defaultdict[str, Waiting] = defaultdict(Waiting)
        for unit in self._left.values():
            self._waiting[unit.family].add(unit.examples)
        self._pace = Pace()
        self._spoke = time.monotonic()
        self._bar: Progress | None = None
        self._task = TaskID(0)
        if console.is_terminal and not log:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
                TimeElapsedColumn(), TextColumn("{task.fields[left]}"), console=console,
            )  # fmt: skip
            self._task = self._bar.add_task("starting", total=self._total, left="")

    def __enter__(self) -> "Monitor":
        if self._bar is not None:
            self._bar.start()
        self._say("started")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._say("ended")

    def finished(self, unit: "Unit", seconds: float, error: str | None) -> None:
        """One unit is done, or has failed."""
        if self._left.pop(unit.id, None) is not None:
            self._waiting[unit.family].add(unit.examples, -1)
            self._done += 1
            self._tried += unit.examples
        self._pace.took(unit.family, unit.examples, seconds)
        if self._log:
            what = {"unit": unit.id, "kind": unit.family, "label": unit.label, "seconds": round(seconds, 3)}
            self._say("done" if error is None else "failed", **what, error=error)
            return
        if error is not None:
            self._console.print(
                f"FAILED {unit.label}: {error}", style="bold red", markup=False, highlight=False
            )
        left = f"about {duration(self.seconds_left() or 0)} left" if self._left else "done"
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, description=unit.label, left=left)
        elif time.monotonic() - self._spoke >= PLAIN_EVERY or not self._left:
            self._spoke = time.monotonic()
            share = f"{self._done} of {self._total} units, {self._done / self._total:.0%}"
            examples = f", {self._tried} of {self._examples} examples" if self._examples else ""
            self._console.print(
                f"{share}{examples}, {left}; last: {unit.label} ({seconds:.1f} s)",
                markup=False, highlight=False, soft_wrap=True,
            )  # fmt: skip

    def seconds_left(self) -> float | None:
        """From the time that finished units of each kind took, an example; None before any has finished."""
        return self._pace.left(self._waiting, self._slots)

    def _say(self, event: str, **what: object) -> None:
        if not self._log:
            return
        left = self.seconds_left()
        line = {
            "event": event, "time": datetime.now(UTC).isoformat(timespec="milliseconds"), **what,
            "units_done": self._done, "units": self._total,
            "examples_done": self._tried, "examples": self._examples,
            "seconds_left": None if left is None else round(left, 1),
        }  # fmt: skip
        self._console.print(json.dumps(line), markup=False, highlight=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """For people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
