"""``prune-audit compare``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audit.commands import options, terminal

if TYPE_CHECKING:
    from reports.draw.chart import Cell, Table


def compare(
    before: Annotated[Path, typer.Argument(metavar="A", help="Folder of the earlier run.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="Folder of the later one.")],
    policy: options.PolicyOption = "standard",
    day: options.DateOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Say what changed from run A to run B: figures in pairs, on the same examples, and verdicts.

    Runs on other examples or by other settings cannot be compared (exit code 4). What changed is no verdict:
    prune-audit gate B --baseline A  decides.
    """
    from audit import gating
    from reports.gate.policy import find
    from reports.page.since import since
    from reports.story.analysis import analyse
    from reports.write import judged

    with gating.mistakes():
        run = judged(after, find(policy), before, options.day(day))
    assert run.baseline is not None
    found = since(analyse(run.results), run.verdicts, run.baseline)
    if as_json:
        terminal.as_json(
            {
                "baseline": {"plan": found.title, "digest": found.digest},
                "policy": run.verdicts.policy.name,
                "summary": list(found.summary),
                "verdicts": _records(found.verdicts),
                "figures": _records(found.figures),
                "remarks": list(run.verdicts.remarks),
            }
        )
        return
    for sentence in found.summary or ("No variant and no figure is in both runs: nothing was compared.",):
        terminal.say(sentence)
    for table in (found.verdicts, found.figures):
        if table is not None:
            terminal.say(f"\n{table.caption}:")
            terminal.grid(table.columns, [[_text(cell) for cell in row] for row in table.rows])
    for remark in run.verdicts.remarks:
        terminal.say(f"Note: {remark}.")


def _text(cell: "Cell") -> str:
    word = cell.mark.word if cell.mark else cell.verdict
    return " ".join(part for part in (cell.text, word) if part)


def _records(table: "Table | None") -> list[dict[str, Any]]:
    """One object a row, by the columns' names."""
    if table is None:
        return []
    return [dict(zip(table.columns, map(_text, row), strict=True)) for row in table.rows]
