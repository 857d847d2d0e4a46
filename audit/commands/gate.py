"""``prune-audit gate``."""

import typer

from audit.commands import options, terminal


@terminal.brisk()
def gate(
    folder: options.RunArgument,
    policy: options.PolicyOption = "standard",
    baseline: options.BaselineOption = None,
    first: options.FirstOption = False,
    day: options.DateOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Judge a run by a policy, for CI: what is not shown to pass does not pass.

    Exit codes: 0 pass or waived, 1 fail, 3 inconclusive, 4 something that a rule asks for has not run, or the
    baseline cannot be compared. Where several hold, 1 goes before 4 and 4 before 3.
    """
    from audit import gating
    from reports.gate.policy import find
    from reports.write import judged

    options.one_of(baseline, first)
    with gating.mistakes():
        verdicts = judged(folder, find(policy), baseline, options.day(day), first=first).verdicts
    if as_json:
        terminal.as_json(gating.decisions(verdicts))
    else:
        gating.show(verdicts, folder, terminal.console)
    raise typer.Exit(verdicts.exit_code)
