"""How far a run is, read from its results file while it goes on or after it stopped; needs no torch."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from audit.progress import Pace, Waiting, duration
from reports.data.ledger import UnitState, read_units

RESULTS, LOCK = "run.sqlite", "run.lock"
SLOWEST = 5


@dataclass(frozen=True, slots=True)
class Kind:
    """The units of one kind of the plan as it stands."""

    kind: str
    planned: int
    done: int
    failed: int
    seconds: float
    """That its finished units took together."""


@dataclass(frozen=True, slots=True)
class Status:
    """How far a run is. Units are those of the plan as it stands."""

    plan: str
    state: str
    """"finished", "running", or "stopped" (unfinished, and no process at work on it)."""
    planned: int
    done: int
    failed: int
    examples: int
    """Planned, over all units that are about examples."""
    examples_done: int
    jobs: int
    seconds_left: float | None
    """None before anything has finished."""
    kinds: tuple[Kind, ...]
    slowest: tuple[dict[str, Any], ...]
    """Label and seconds."""
    failures: tuple[dict[str, Any], ...]
    """Label and error."""

    @property
    def table(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def status(folder: Path) -> Status:
    """Of the run in ``folder``. Raises :class:`reports.data.ledger.LedgerError` if there is none."""
    about, units = read_units(folder / RESULTS)
    tried = [unit for unit in units if unit.status != "planned"]
    pace, waiting = Pace(), defaultdict[str, Waiting](Waiting)
    for unit in units:
        if unit.status == "done":
            pace.took(unit.kind, unit.examples, unit.seconds or 0.0)
        else:
            waiting[unit.kind].add(unit.examples)
    jobs = int(about.get("jobs", 1))
    state = "running" if _held(folder / LOCK) else "stopped" if waiting else "finished"
    slowest = sorted(tried, key=lambda unit: -(unit.seconds or 0.0))[:SLOWEST]
    return Status(
        plan=str(about.get("plan_name", "")),
        state=state,
        planned=len(units),
        done=sum(unit.status == "done" for unit in units),
        failed=sum(unit.status == "failed" for unit in units),
        examples=sum(unit.examples for unit in units),
        examples_done=sum(unit.examples for unit in units if unit.status == "done"),
        jobs=jobs,
        seconds_left=pace.left(waiting, jobs),
        kinds=tuple(_kinds(units)),
        slowest=tuple({"label": unit.label, "seconds": unit.seconds} for unit in slowest),
        failures=tuple({"label": u.label, "error": u.error} for u in units if u.status == "failed"),
    )


def lines(found: Status) -> Iterator[tuple[str, str]]:
    """Name and value of each fact, for people."""
    yield "run", f"{found.plan}: {found.state}"
    waiting = found.planned - found.done - found.failed
    yield "units", f"{found.done} of {found.planned} done, {found.failed} failed, {waiting} waiting"
    if found.examples:
        yield "examples", f"{found.examples_done} of {found.examples} done"
    if found.done + found.failed < found.planned:
        left = found.seconds_left
        told = "not known before a unit has finished" if left is None else f"about {duration(left)}"
        yield "time left", f"{told}, with {found.jobs} at a time"
    for kind in found.kinds:
        yield kind.kind, f"{kind.done} of {kind.planned} done, {duration(kind.seconds)} in all"
    for unit in found.slowest:
        yield "slowest", f"{unit['label']}: {duration(unit['seconds'] or 0.0)}"
    for unit in found.failures:
        yield "failed", f"{unit['label']}: {unit['error']}"


def _kinds(units: list[UnitState]) -> Iterator[Kind]:
    for name in dict.fromkeys(unit.kind for unit in units):
        ours = [unit for unit in units if unit.kind == name]
        yield Kind(
            name,
            len(ours),
            sum(unit.status == "done" for unit in ours),
            sum(unit.status == "failed" for unit in ours),
            sum(unit.seconds or 0.0 for unit in ours),
        )


def _held(lock: Path) -> bool:
    """Whether a process is at work on the folder."""
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # a folder that cannot be written to: nobody is
        return False
