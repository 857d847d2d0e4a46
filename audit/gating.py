"""The gate on a terminal: every decision with its reason, worst first."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from audit.errors import IncompleteError, PlanError
from reports.data.key import method_title
from reports.data.ledger import LedgerError
from reports.data.results import Results
from reports.exports.parquet import NoParquetError
from reports.exports.pdf import NoBrowserError
from reports.gate import status
from reports.gate.baseline import NotComparableError
from reports.gate.judge import Decision, Verdicts
from reports.gate.policy import PolicyError
from reports.language.metrics import metric as about_metric
from reports.language.words import DASH, counted, number, shown
from reports.story.analysis import analyse
from reports.story.reach import worst
from reports.story.summary import NOT_EQUAL, summarise

COLOURS = {"pass": "green", "fail": "red", "inconclusive": "yellow", "not-run": "magenta", "waived": "cyan"}


@contextmanager
def mistakes() -> Iterator[None]:
    """A user's mistake about a run, a policy or a baseline gets its message and its exit code."""
    try:
        yield
    except (LedgerError, PolicyError, NoBrowserError, NoParquetError) as error:
        raise PlanError(str(error)) from None
    except NotComparableError as error:
        raise IncompleteError(str(error)) from None
    except OSError as error:
        raise PlanError(f"{error.filename or 'the folder'}: cannot be written to: {error.strerror}") from None


def show(verdicts: Verdicts, folder: Path, console: Console) -> None:
    """Every decision but those that do not apply, worst first; then the verdict in one line."""
    decisions = sorted(verdicts.decisions, key=status.gravity)
    table = Table(box=None, pad_edge=False)
    for heading in ("", "rule", "variant", "what was found"):
        table.add_column(heading, overflow="fold")
    for decision in decisions:
        if decision.status != "not_applicable":
            mark = status.MARKS[decision.status]
            word = Text(f"{mark.icon} {mark.word}", COLOURS.get(mark.css, ""))
            table.add_row(word, decision.rule.id, shown(decision.variant, 60), Text(_reason(decision)))
    if console.is_terminal:
        console.print(table, highlight=False)
    else:  # a log has no width: one plain line a decision
        for decision in decisions:
            if decision.status != "not_applicable":
                line = f"{decision.rule.id}, {shown(decision.variant, 60)}: {_reason(decision)}"
                console.print(f"{status.MARKS[decision.status].word}: {line}", highlight=False, markup=False)
    for remark in verdicts.remarks:
        console.print(f"Note: {remark}.", highlight=False, markup=False)
    if verdicts.waiting:
        console.print(f"{counted(verdicts.waiting, 'planned unit')} not run.", highlight=False, markup=False)
    counts = ", ".join(
        f"{verdicts.count(state)} {mark.word.lower()}"
        for state, mark in status.MARKS.items()
        if verdicts.count(state)
    )
    console.print(
        f"\n{status.MARKS[verdicts.status].word}: {folder} by the policy {verdicts.policy.name} "
        f"({counts or 'nothing to judge'}; {verdicts.applied_words}), judged on {verdicts.judged_on}; "
        f"exit code {verdicts.exit_code}",
        highlight=False, markup=False,
    )  # fmt: skip


def decisions(verdicts: Verdicts) -> dict[str, Any]:
    """The same for programs."""
    return {
        "verdict": status.MARKS[verdicts.status].word,
        "exit_code": verdicts.exit_code,
        "policy": verdicts.policy.name,
        "judged_on": str(verdicts.judged_on),
        "remarks": list(verdicts.remarks),
        "decisions": [
            {
                "rule": decision.rule.id,
                "variant": decision.variant,
                "status": status.mark_of(decision).word,
                "reason": _reason(decision),
            }
            for decision in sorted(verdicts.decisions, key=status.gravity)
        ],
    }


def summary(results: Results, verdicts: Verdicts, console: Console) -> None:
    """The answer, then a line a variant: its verdict, the key figures, and what stops it."""
    analysis = analyse(results)
    said = summarise(analysis, verdicts)
    console.print()
    for sentence in said.headline[:2]:
        console.print(sentence, highlight=False, markup=False)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    # A log has no width, and a folded table is hard to read there.
    wide = console if console.is_terminal else Console(file=console.file, width=160)
    reasons = wide.width >= 110
    table.add_column("variant", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    for key in analysis.keys:
        table.add_column(key.label, max_width=11 if reasons else 9)
    if reasons:
        table.add_column("what stops it", overflow="fold")
    for name in results.names():
        mark, stops = status.MARKS[verdicts.on(name)], worst(verdicts, name)
        figures = [analysis.value(key.metric, name) for key in analysis.keys]
        units = [about_metric(key.metric).unit for key in analysis.keys]
        table.add_row(
            Text(method_title(results, name)),
            Text(mark.word, COLOURS.get(mark.css, "")),
            *(DASH if v is None else number(v, unit) for v, unit in zip(figures, units, strict=True)),
            *([Text("" if stops is None else status.brief(stops))] if reasons else []),
        )
    console.print()
    wide.print(table, highlight=False)
    for sentence in said.cautions:
        if sentence != NOT_EQUAL:
            console.print(f"Note: {sentence}", highlight=False, markup=False)


def _reason(decision: Decision) -> str:
    """What was found; of what is waived, until when, why, and what it would be without."""
    said = status.waived(decision)
    return f"{said} ({decision.reason})" if said else decision.reason
