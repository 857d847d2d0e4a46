"""``prune-audit compare``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audit.commands import options, terminal

if TYPE_CHECKING:
    from reports.draw.chart import Cell, Table


def compare(
    before: Annotated[Path, typer.Argument(metavar="A", help="Folder of the earlier run.")],
    after: Annotated[
        Path | None, typer.Argument(metavar="B", help="Folder of the later one; not with --pair.")
    ] = None,
    pair: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--pair", metavar="FIRST SECOND", help="Two variants of run A, the first minus the second."
        ),
    ] = None,
    policy: options.PolicyOption = "standard",
    day: options.DateOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Say what changed from run A to run B: figures in pairs, on the same examples, and verdicts.

    With --pair: how two variants of run A differ, instead.

    Runs on other examples or by other settings cannot be compared (exit code 4). What changed is no verdict:
    prune-audit gate B --baseline A  decides.
    """
    if pair is not None or after is None:
        _two(before, after, pair, as_json=as_json)
        return
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
            _show(table)
    for remark in run.verdicts.remarks:
        terminal.say(f"Note: {remark}.")


def _two(run: Path, after: Path | None, pair: tuple[str, str] | None, *, as_json: bool) -> None:
    """Two variants of one run."""
    from audit import gating
    from audit.errors import IncompleteError, PlanError
    from reports.data.results import read
    from reports.page.pairs import CAPTION, two
    from reports.story.analysis import analyse

    if pair is None:
        raise PlanError("compare needs a second run's folder, or --pair with two variants of the one")
    if after is not None:
        raise PlanError("--pair compares two variants of one run: name one folder")
    with gating.mistakes():
        results = read(run)
    for name in pair:
        if name not in results.made:
            known = ", ".join(results.names()) or "none"
            raise PlanError(f"--pair {name}: the run has no such variant; it has: {known}")
    if pair[0] == pair[1]:
        raise PlanError(f"--pair {pair[0]} {pair[0]}: a variant does not differ from itself")
    table = two(analyse(results), pair)
    if table is None:
        raise IncompleteError(
            f"no figure of {pair[0]} and {pair[1]} is on the same examples: nothing to compare"
        )
    if as_json:
        terminal.as_json({"figures": _records(table)})
        return
    terminal.say(f"{CAPTION}; these models; words are corrected for all that might have been picked:")
    _show(table)


def _show(table: "Table") -> None:
    terminal.grid(table.columns, [[_text(cell) for cell in row] for row in table.rows])


def _text(cell: "Cell") -> str:
    word = cell.mark.word if cell.mark else cell.verdict
    return " ".join(part for part in (cell.text, word) if part)


def _records(table: "Table | None") -> list[dict[str, Any]]:
    """One object a row, by the columns' names."""
    if table is None:
        return []
    return [dict(zip(table.columns, map(_text, row), strict=True)) for row in table.rows]
