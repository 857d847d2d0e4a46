"""``prune-audit report``."""

from typing import Annotated

import typer

from audit.commands import options, terminal
from audit.errors import PlanError


@terminal.brisk()
def report(
    folder: options.RunArgument,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="What to write, into DIR; may be repeated. By default html "
            "and csv; also json, markdown, parquet, sarif, junit, pdf, model-card, cyclonedx, in-toto.",
        ),
    ] = None,
    policy: options.PolicyOption = "standard",
    baseline: options.BaselineOption = None,
    first: options.FirstOption = False,
    day: options.DateOption = None,
    mlflow: options.MlflowOption = None,
) -> None:
    """Render a run again. Needs no torch, no model and no data: only the run's folder."""
    from audit import gating, tracking
    from reports.exports import names
    from reports.gate.policy import find
    from reports.write import judged, write

    options.one_of(baseline, first)
    if mlflow is not None:
        tracking.needed()
    wanted = list(dict.fromkeys(formats or ["html", "csv"]))
    if unknown := [name for name in wanted if name not in names()]:
        raise PlanError(f"--format {unknown[0]}: there is no such format; there are: {', '.join(names())}")
    with gating.mistakes():
        paths = write(
            folder, wanted, policy=find(policy), baseline=baseline, today=options.day(day), first=first
        )
    for path in paths:
        terminal.say(f"Wrote {path}")
    if mlflow is not None:
        run = judged(folder, find(policy), baseline, options.day(day), first=first)
        terminal.say(f"Logged to {mlflow} as run {tracking.log(folder, run, paths, mlflow)}")
