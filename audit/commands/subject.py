"""The subject of a plan, as the commands load and examine it: what is wrong is said with the plan's name."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from audit.commands import terminal
from audit.commands.options import DEMO, DeviceChoice
from audit.errors import AuditError

if TYPE_CHECKING:
    from audit.preflight import Examination, Subject


def load(path: Path | None, *, root: Path | None, quick: bool, device: DeviceChoice) -> "Subject":
    """The model and data of a plan (without one, of the demo), checked."""
    from audit import plan as plans
    from audit.preflight import device_of, preflight

    path = path or DEMO
    loaded = plans.load(path, root=root, quick=quick)
    runs_on = device_of(device.value)
    with named(path):
        return preflight(loaded, runs_on)


def examine(
    subject: "Subject", path: Path | None, facts: dict[str, str] | None = None, to: Console | None = None
) -> "Examination":
    """Say on the terminal what the model's figures look like; a serious mistake is refused.

    ``facts``: what else there is to say of the plan, above it.
    """
    from audit.preflight import examine as look

    found = look(subject)
    if facts is not None:
        terminal.pairs([*facts.items(), *found.figures])
    for warning in found.warnings:
        terminal.say(f"Warning: {warning}", to)
    with named(path):
        found.refuse()
    return found


@contextmanager
def named(path: Path | None) -> Iterator[None]:
    """Mistakes in a plan are said with its name."""
    try:
        yield
    except AuditError as error:
        if path is None:
            raise
        lines = str(error).splitlines()  # those that begin with blanks are code to copy
        said = [line if line.startswith(" ") else f"{path}: {line}" for line in lines]
        raise type(error)("\n".join(said)) from error
