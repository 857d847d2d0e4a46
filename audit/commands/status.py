"""``prune-audit status``."""

from audit.commands import terminal
from audit.commands.options import JsonOption, RunArgument


def status(folder: RunArgument, as_json: JsonOption = False) -> None:
    """Show how far a run is, while it goes on or after it stopped: done, failed, time left, slowest units."""
    from audit import gating
    from audit import status as progress

    with gating.mistakes():
        found = progress.status(folder)
    if as_json:
        terminal.as_json(found.table)
    else:
        terminal.pairs(progress.lines(found))
