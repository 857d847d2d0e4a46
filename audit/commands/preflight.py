"""``prune-audit preflight``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audit.commands import subject as subjects
from audit.commands import terminal
from audit.commands.options import (
    DeviceChoice,
    DeviceOption,
    JsonOption,
    PolicyOption,
    QuickOption,
    RootOption,
)

if TYPE_CHECKING:
    from audit.preflight import Subject


def preflight(
    plan: Annotated[Path, typer.Argument(help="The plan (TOML).")],
    root: RootOption = None,
    device: DeviceOption = DeviceChoice.auto,
    quick: QuickOption = False,
    policy: PolicyOption = "standard",
    as_json: JsonOption = False,
) -> None:
    """Check model, data and plan before any attack; tell the time, and what the policy can decide."""
    from audit import epsilon, estimate, gating
    from reports.gate.policy import find

    with gating.mistakes():
        judge_by = find(policy)
    subject = subjects.load(plan, root=root, quick=quick, device=device)
    facts = dict(estimate.facts(subject, judge_by))
    lacks = epsilon.missing(subject.plan, [(rule.id, rule.at) for rule in judge_by.rules])
    if as_json:
        _for_programs(subject, plan, facts, lacks)
        return
    subjects.examine(subject, plan, facts)
    for lack in lacks:
        terminal.say(f"Note: {lack}: of policy {judge_by.name} it will not be decided")


def _for_programs(subject: "Subject", path: Path, facts: dict[str, str], lacks: list[str]) -> None:
    """What was found, as JSON; a serious mistake is refused all the same."""
    from audit.preflight import examine

    found = examine(subject)
    terminal.as_json(
        {
            "facts": facts,
            **found.facts,
            "refused": sorted({f.mistake.name for f in found.refused}),
            "policy_lacks": lacks,
        }
    )
    with subjects.named(path):
        found.refuse()
