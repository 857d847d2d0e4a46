"""``prune-audit list``."""

from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table

from audit.commands import terminal
from audit.commands.options import JsonOption


class Listing(StrEnum):
    """What there is to list."""

    probes = "probes"
    attacks = "attacks"
    criteria = "criteria"
    allocations = "allocations"
    methods = "methods"
    data = "data"
    models = "models"
    charts = "charts"


def listing(
    what: Annotated[Listing | None, typer.Argument(help="One kind; by default all.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what there is: probes, attacks, pruning criteria and methods, data sources, models, charts."""
    from audit import catalogue

    found = {kind.value: catalogue.of(kind.value) for kind in ([what] if what else list(Listing))}
    if as_json:
        terminal.as_json(found)
        return
    for kind, entries in found.items():
        table = Table(title=kind, title_justify="left", box=None, show_header=False, title_style="bold")
        for name, line in entries.items():
            table.add_row(name, line)
        terminal.console.print(table, highlight=False, markup=False)
