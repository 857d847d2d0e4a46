"""``prune-audit init``."""

from pathlib import Path
from typing import Annotated

import typer

from audit.commands import terminal


def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to write.")] = Path(),
    model: Annotated[
        str | None, typer.Option(metavar="SPEC", help="What builds it, such as torchvision:resnet18.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(metavar="FILE", help="A checkpoint to look at.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="A folder of images, or a .npz, .csv or .parquet file."),
    ] = None,
) -> None:
    """Write a plan to start auditing your own model from: proposed from what you name, or a commented one."""
    from audit import starter

    for path in starter.write(folder, model, weights, data):
        terminal.say(f"Wrote {path}")
    terminal.say(
        "Next: read plan.toml, make it yours (and my_model.py, where it names that), then\n"
        f"  prune-audit preflight {folder / 'plan.toml'}"
    )
