"""``prune-audit verify`` and ``prune-audit manifest``."""

from pathlib import Path
from typing import Annotated

import typer

from audit.commands import terminal

SHOWN = 20
"""Differences that are told one by one."""

Model = Annotated[Path, typer.Argument(metavar="MODEL.safetensors", help="The model's file.")]


def verify(
    model: Model,
    manifest: Annotated[Path, typer.Argument(metavar="MANIFEST.json", help="What it is held against.")],
) -> None:
    """Hold a model file against its manifest: finds any flipped bit, and says in which tensor.

    A run keeps each model's manifest beside it, in DIR/models/. Exit codes: 0 the same, 1 different, 2 the
    manifest cannot be read, 5 the model cannot be read.
    """
    from audit import manifest as manifests

    known = manifests.read(manifest)
    found = manifests.differences(model, known)
    for line in found[:SHOWN]:
        terminal.say(f"- {line}")
    if len(found) > SHOWN:
        terminal.say(f"- and {len(found) - SHOWN} more")
    if found:
        terminal.say(f"{model} DIFFERS from {manifest}")
        raise typer.Exit(1)
    terminal.say(f"{model} is what {manifest} says: {len(known.tensors)} tensors, bit for bit")


def manifest(
    model: Model,
    to: Annotated[
        Path | None,
        typer.Argument(metavar="[MANIFEST.json]", help="Where to write; by default beside the model."),
    ] = None,
) -> None:
    """Write a model file's manifest: the SHA-256 of every tensor and of its mask, to be signed and kept."""
    from audit import manifest as manifests
    from audit.errors import PlanError

    path = to or manifests.beside(model)
    if path.exists():
        raise PlanError(f"{path}: exists; a manifest is not written over: delete it, or name another file")
    manifests.write(model, path)
    terminal.say(f"Wrote {path}")
