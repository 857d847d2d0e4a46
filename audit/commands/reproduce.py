"""``prune-audit reproduce``."""

import shlex
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from audit.commands import terminal
from audit.commands.options import DeviceChoice, DeviceOption, EngineChoice
from audit.errors import IncompleteError

if TYPE_CHECKING:
    from audit.reproduce.run import Asked
    from reports.claims import Ledger


class ScaleChoice(StrEnum):
    """How much of the grid is run."""

    demo = "demo"
    standard = "standard"
    full = "full"


def reproduce(
    scale: Annotated[
        ScaleChoice,
        typer.Option(
            help="demo: the embedded digits, minutes; standard: and MNIST, an hour; full: and CIFAR-10."
        ),
    ] = ScaleChoice.demo,
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Only subjects on this data set: digits, mnist, cifar10. May be repeated."
        ),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Folder that holds MNIST (as torchvision has it) and cifar10/train/CLASS/…"
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the runs. By default runs/reproduce-SCALE.")
    ] = None,
    engine: Annotated[
        EngineChoice, typer.Option(help="Worker processes, or this process (debugging).")
    ] = EngineChoice.local,
    jobs: Annotated[int | None, typer.Option(min=1, help="Worker processes. By default one a core.")] = None,
    device: DeviceOption = DeviceChoice.auto,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Only say what would be run, and about how long it takes.")
    ] = False,
) -> None:
    """Run the paper's experiment, show where its text is wrong, and judge its fourteen safety claims.

    Writes claims.html, claims.md and claims.json; each subject's own report is in a folder beside them. A run
    that was stopped goes on where it stopped. Exit code 4 where a subject could not be run or units failed:
    the ledger then says what is not tested.
    """
    from audit import gating
    from audit.preflight import device_of
    from audit.reproduce import run
    from audit.reproduce.grid import scale as read

    folder = out or Path("runs") / f"reproduce-{scale.value}"
    words = ["prune-audit", "reproduce", "--scale", scale.value, *(f"--data={name}" for name in data or ())]
    asked = run.Asked(
        read(scale.value), tuple(data or ()), root, folder, engine.value, jobs, device_of(device.value),
        shlex.join(words),
    )  # fmt: skip
    terminal.say(f"Scale {scale.value}: {asked.scale.summary}. Results in {folder}")
    for what in asked.scale.left_out:
        terminal.say(f"Left out: {what}")
    _expect(asked)
    if estimate:
        return
    try:
        with gating.mistakes():
            found = run.run(asked, terminal.console, terminal.say)
    except KeyboardInterrupt:
        terminal.complain(
            f"\nInterrupted. What is finished is kept in {folder}; run the same command again to go on."
        )
        raise typer.Exit(130) from None
    _show(found.ledger)
    for name in ("claims.html", "claims.md", "claims.json"):
        terminal.say(f"Wrote {folder / name}")
    if found.failed:
        raise IncompleteError(f"{found.failed} units failed; run the same command again to retry them.")
    if found.absent:
        raise IncompleteError(
            f"{len(found.absent)} of {len(asked.cells)} subjects were not run: "
            + ", ".join(absent.name for absent in found.absent)
            + ". Give --root, or leave them out with --data."
        )


def _expect(asked: "Asked") -> None:
    """Say how long it takes, subject by subject, before anything starts."""
    from audit.progress import duration
    from audit.reproduce import run

    total, rows = 0.0, []
    for name, found in run.expected(asked):
        rows.append((name, f"not run: {found}" if isinstance(found, str) else f"about {duration(found)}"))
        total += 0.0 if isinstance(found, str) else found
    terminal.pairs(rows)
    terminal.say(
        f"In all about {duration(total)} here (order of magnitude); what is done already is not done again."
    )


def _show(ledger: "Ledger") -> None:
    """The ledger as a table, in the words of the page."""
    from reports.claims import words

    table = Table(box=None, title_justify="left")
    for column in ("", "claim", "verdict", "effect"):
        table.add_column(column)
    for finding in ledger.findings:
        cells = (
            finding.claim.id,
            finding.claim.title,
            words.MARKS[finding.verdict].word,
            words.effect_text(finding),
        )
        table.add_row(*(Text(cell) for cell in cells))
    terminal.say(words.headline(ledger))
    terminal.console.print(table, highlight=False)
