"""``prune-audit run``."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from audit.commands import subject as subjects
from audit.commands import terminal
from audit.commands.options import (
    BaselineOption,
    DeviceChoice,
    DeviceOption,
    EngineChoice,
    FirstOption,
    MlflowOption,
    PlanArgument,
    PolicyOption,
    QuickOption,
    RootOption,
    one_of,
)
from audit.errors import IncompleteError, PlanError

if TYPE_CHECKING:
    from audit.preflight import Subject


def run(
    plan: PlanArgument = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run. By default runs/NAME-OF-PLAN.")] = None,
    engine: Annotated[
        EngineChoice,
        typer.Option(help="Worker processes here, this process (debugging), or the tasks of a Ray cluster."),
    ] = EngineChoice.local,
    jobs: Annotated[int | None, typer.Option(min=1, help="Units at a time. By default one a core.")] = None,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Of a running Ray cluster, or auto. By default one is started."
        ),
    ] = None,
    device: DeviceOption = DeviceChoice.auto,
    quick: QuickOption = False,
    root: RootOption = None,
    policy: PolicyOption = "standard",
    baseline: BaselineOption = None,
    first: FirstOption = False,
    mlflow: MlflowOption = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Cut the plan to about so long (30m, 2h), and say what is left out; the same command "
            "without it adds the rest.",
        ),
    ] = None,
    log_json: Annotated[
        bool, typer.Option("--log-json", help="Progress as JSON, one object a line, for programs.")
    ] = False,
) -> None:
    """Run a plan, or resume it; write report.html, measurements.csv and, with pyarrow, measurements.parquet.

    A run that was stopped goes on where it stopped; a finished one computes nothing. A folder belongs to the
    model and its data: after a change of what is pruned or measured, only what is new is computed.
    """
    from audit import gating, runner, tracking
    from reports.data.results import read
    from reports.exports import parquet
    from reports.gate.baseline import there
    from reports.gate.policy import find
    from reports.write import judged, write

    one_of(baseline, first)
    with gating.mistakes():
        judge_by = find(policy)
        if baseline is not None:
            read(there(baseline))  # before anything runs, not after
    if mlflow is not None:
        tracking.needed()
    if address and engine is not EngineChoice.ray:
        raise PlanError("--address: names a Ray cluster; say --engine ray too")
    subject = subjects.load(plan, root=root, quick=quick, device=device)
    tell = Console(stderr=True, soft_wrap=True) if log_json else terminal.console
    left: tuple[str, ...] = ()
    if budget is not None:
        subject, left = _cut(subject, budget, jobs, tell)
    seen = replace(subjects.examine(subject, plan, to=tell), left_out=left)
    loaded = subject.plan
    folder = out or Path("runs") / loaded.name
    terminal.say(
        f"Auditing {loaded.model.build} on {loaded.data.source}: {len(subject.data.test)} audit examples, "
        f"results in {folder}",
        tell,
    )
    command = ["prune-audit", "run", *([str(plan)] if plan else []), *(["--quick"] if quick else [])]
    command += ["--budget", budget] if budget else []
    try:
        outcome = runner.run(
            subject, folder, engine=engine.value, jobs=jobs, command=shlex.join(command),
            console=terminal.console, log_json=log_json, seen=seen,
            address=address,
        )  # fmt: skip
    except KeyboardInterrupt:
        terminal.complain(
            f"\nInterrupted. What is finished is kept in {folder}; run the same command again to go on."
        )
        raise typer.Exit(130) from None
    if outcome.computed == 0:
        terminal.say("Everything was done already; nothing was computed.", tell)
    with gating.mistakes():
        formats = ["html", "csv", *(["parquet"] if parquet.available() else [])]
        paths = write(folder, formats, policy=judge_by, baseline=baseline, first=first)
        for path in paths:
            terminal.say(f"Wrote {path}", tell)
        found = judged(folder, judge_by, baseline, first=first)
        gating.summary(found.results, found.verdicts, tell)  # what the terminal says is what the page says
    if mlflow is not None:
        terminal.say(f"Logged to {mlflow} as run {tracking.log(folder, found, paths, mlflow)}", tell)
    if outcome.failed:
        raise IncompleteError(
            f"{outcome.failed} of {outcome.planned} units failed; the report shows them. "
            "Run the same command again to retry them."
        )


def _cut(subject: "Subject", budget: str, jobs: int | None, to: Console) -> tuple["Subject", tuple[str, ...]]:
    """As much of the plan as fits into the budget; what does not is said."""
    from audit import budget as budgets
    from audit import estimate, machine

    allowed = budgets.seconds(budget)
    pace = estimate.pace(subject)
    workers = jobs or machine.workers(int(pace["bytes"]))
    subject, left = budgets.within(subject, allowed, pace["seconds"], workers)
    terminal.say(f"Within {budget}: {'all of the plan' if not left else 'left out'}", to)
    for words in left:
        terminal.say(f"- {words}", to)
    return subject, left
