"""``prune-audit convert``."""

from pathlib import Path
from typing import Annotated

import typer

from audit.commands import terminal


def convert(
    old: Annotated[
        Path, typer.Argument(metavar="OLD", help="A checkpoint, of any kind that is safe to read.")
    ],
    new: Annotated[Path, typer.Argument(metavar="NEW.safetensors", help="Where to write its weights.")],
    key: Annotated[
        str | None, typer.Option(help="Which of its entries holds the weights; by default the usual one.")
    ] = None,
    strip_prefix: Annotated[
        str | None, typer.Option(help="What the weights' names begin with; others are left out.")
    ] = None,
) -> None:
    """Write a checkpoint's weights as safetensors: unwrapped, masks folded in. Runs no code of the file."""
    from audit.subject import checkpoints

    for line in checkpoints.convert(old, new, key, strip_prefix):
        terminal.say(f"- {line}")
    terminal.say(f"Wrote {new}")
