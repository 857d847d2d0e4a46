"""``prune-audit policy``."""

from pathlib import Path
from typing import Annotated

import typer

from audit.commands import terminal
from audit.commands.options import RunArgument
from audit.errors import PlanError

policy = typer.Typer(help="Policies of your own.", no_args_is_help=True)


@policy.command("init")
def init(
    folder: RunArgument,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write it.")] = Path("policy.toml"),
    preset: Annotated[
        str, typer.Option(help="What to start from: lenient, standard or strict.")
    ] = "standard",
) -> None:
    """Write a policy to make your own: a preset's rules for what a run measured, with dense's own figures.

    What the run did not measure is written as a comment: taking a rule out is your decision, and shows.
    """
    from audit import gating
    from reports.data.results import read
    from reports.gate.starter import text

    if out.exists():
        raise PlanError(f"{out}: exists already; move it, or choose another --out")
    with gating.mistakes():
        written = text(read(folder), preset)
        out.write_text(written, encoding="utf-8")
    terminal.say(f"Wrote {out}")
    terminal.say(f"Next: set the limits, then\n  prune-audit gate {folder} --policy {out}")
