"""Runs a scale's subjects one after the other, each into a folder of its own, and writes what they say."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from audit import estimate, runner
from audit.errors import RefusedError
from audit.preflight import Subject, examine, preflight
from audit.reproduce import experiment
from audit.reproduce.errata import errata
from audit.reproduce.grid import Cell, Scale
from audit.unit import code_version
from reports.claims import Absent, Experiment, Ledger, Study, as_json, judge, ledger_page, markdown
from reports.data.results import read
from reports.write import replace, write

Tell = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is run, where, and how."""

    scale: Scale
    data: tuple[str, ...]
    root: Path | None
    out: Path
    engine: runner.EngineName
    jobs: int | None
    device: str
    command: str

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The subjects, in order."""
        return self.scale.of(self.data)

    def folder(self, cell: Cell) -> Path:
        """Where that subject's run is."""
        return self.out / cell.name


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    ledger: Ledger
    absent: tuple[Absent, ...]
    failed: int
    """Units, over all subjects."""


def expected(asked: Asked) -> Iterator[tuple[str, float | str]]:
    """Of each subject the seconds that it takes in all, in order of magnitude; or why it cannot be run."""
    for cell in asked.cells:
        found = _loaded(cell, asked)
        yield cell.name, found if isinstance(found, str) else estimate.total(found)


def run(asked: Asked, console: Console, tell: Tell) -> Outcome:
    """Run what is left of every subject, judge the claims, write ``claims.html``, ``.md`` and ``.json``.

    A subject whose data is not at hand is told and left out, and the ledger says so. Raises PlanError where a
    folder holds another version's run; KeyboardInterrupt passes through, and what is finished is kept.
    """
    asked.out.mkdir(parents=True, exist_ok=True)
    studies, absent, failed = [], [], 0
    for number, cell in enumerate(asked.cells, 1):
        found = _loaded(cell, asked)
        if isinstance(found, str):
            absent.append(Absent(cell.name, cell.data, cell.architecture, cell.defence, found))
            tell(f"{number} of {len(asked.cells)}: {cell.name} is not run: {found}")
            continue
        tell(f"{number} of {len(asked.cells)}: {cell.name}")
        folder = asked.folder(cell)
        outcome = runner.run(
            found, folder, engine=asked.engine, jobs=asked.jobs, command=asked.command, console=console
        )
        failed += outcome.failed
        write(folder)
        studies.append(Study(cell.name, cell.data, cell.architecture, cell.defence, read(folder)))
    paper = _experiment(asked, absent, tell)
    ledger = judge(studies, absent)
    _write(asked, ledger, paper, studies)
    return Outcome(ledger, tuple(absent), failed)


def _loaded(cell: Cell, asked: Asked) -> Subject | str:
    """The subject, checked; or why its data is not at hand."""
    try:
        subject = preflight(cell.plan(asked.root), asked.device)
        examine(subject).refuse()
    except RefusedError as error:
        return str(error)
    return subject


def _experiment(asked: Asked, absent: Sequence[Absent], tell: Tell) -> Experiment:
    """The paper's own experiment: on MNIST where the scale has it and it is at hand, else on the digits."""
    there = {cell.data for cell in asked.cells} - {each.data for each in absent}
    data = "mnist" if "mnist" in there else "digits"
    tell(f"The paper's experiment (§5) on {data}")
    found = experiment.gathered(
        asked.out / "experiment.json", data, asked.root, tuple(asked.scale.experiment["seeds"]), tell
    )
    return experiment.told(found, data, asked.command)


def _write(asked: Asked, ledger: Ledger, paper: Experiment, studies: Sequence[Study]) -> None:
    given: tuple[Any, ...] = (ledger, errata(), paper, dict(_facts(asked, studies)))
    replace(asked.out / "claims.html", ledger_page(*given))
    replace(asked.out / "claims.md", markdown(*given))
    replace(asked.out / "claims.json", json.dumps(as_json(*given), indent=2, ensure_ascii=False) + "\n")


def _facts(asked: Asked, studies: Sequence[Study]) -> Iterator[tuple[str, str]]:
    """How the ledger was made, for whoever wants to make it again."""
    yield "command", asked.command
    yield "scale", f"{asked.scale.name}: {asked.scale.summary}"
    yield "left out", "; ".join(asked.scale.left_out) or "nothing of the grid"
    yield "commit", commit()
    yield "code", code_version()
    digests = "".join(str(study.results.about["plan_digest"]) for study in studies)
    yield "run", hashlib.sha256(digests.encode()).hexdigest()[:16]
    for study in studies:
        about = study.results.about
        yield study.name, f"plan {str(about['plan_digest'])[:12]}, begun {about['started']}"


def commit() -> str:
    """The commit that this program is of; "not known" outside a repository, "changed" beside it where files
    differ from it."""
    git, here = shutil.which("git"), Path(__file__).parent
    if git is None:
        return "not known"

    def ask(*words: str) -> str:
        found = subprocess.run([git, "-C", str(here), *words], capture_output=True, text=True, check=False)  # noqa: S603
        return found.stdout.strip() if found.returncode == 0 else ""

    name = ask("rev-parse", "--short=12", "HEAD")
    return (
        f"{name}{' with changes' if ask('status', '--porcelain', '--untracked-files=no') else ''}"
        or "not known"
    )
