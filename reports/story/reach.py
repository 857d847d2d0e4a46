"""How far each method can prune before a policy is no longer met, and what stops it."""

from dataclasses import dataclass

from reports.data.results import Results
from reports.gate.judge import Decision, Status, Verdicts
from reports.gate.status import gravity
from reports.story.analysis import Analysis
from reports.story.savings import worth

MET: tuple[Status, ...] = ("pass", "not_applicable")
"""What a decision may be in a variant that meets the policy: what is waived does not."""


@dataclass(frozen=True, slots=True)
class Reach:
    """One method: its variants by rising sparsity, and how far they hold."""

    series: str
    variants: tuple[str, ...]
    meets: str | None
    """The strongest variant that meets the policy."""
    waived: str | None
    """The strongest variant that waivers alone let through."""
    unbroken: str | None
    """The strongest variant with a figure below the first that fails (waived or not)."""
    beyond: str | None
    """The next stronger variant after ``meets`` (else ``waived``, else ``unbroken``): it does not meet it."""
    stops: Decision | None
    """The worst decision there: what breaks first."""


def reaches(results: Results, verdicts: Verdicts) -> list[Reach]:
    """One for each method and each model of the user's own, in order."""
    groups: dict[str, list[str]] = {}
    for name in results.names(pruned=True):
        groups.setdefault(results.made[name].series, []).append(name)
    return [_reach(series, names, verdicts) for series, names in groups.items()]


def _reach(series: str, names: list[str], verdicts: Verdicts) -> Reach:
    judged = {name: verdicts.of(name) for name in names}
    met = [name for name in names if judged[name].status == "pass"]
    let = [name for name in names if judged[name].status == "waived"]
    unbroken: list[str] = []
    for name in names:
        if any("fail" in (decision.status, decision.judged) for decision in judged[name].decisions):
            break
        if any(decision.value is not None for decision in judged[name].decisions):
            unbroken.append(name)
    meets, waived, whole = (found[-1] if found else None for found in (met, let, unbroken))
    last = meets or waived or whole
    rest = names[names.index(last) + 1 :] if last is not None else names
    beyond = rest[0] if rest else None
    stops = worst(verdicts, beyond) if beyond is not None else None
    return Reach(series, tuple(names), meets, waived, whole, beyond, stops)


def worst(verdicts: Verdicts, variant: str) -> Decision | None:
    """The worst decision on a variant that keeps it from meeting the policy."""
    against = [d for d in verdicts.decisions if d.variant == variant and d.status not in MET]
    return min(against, key=gravity) if against else None


def shown_variant(analysis: Analysis, verdicts: Verdicts) -> str | None:
    """The pruned variant that the first screen is about.

    What saves most of what meets the policy; else of what waivers let through; else of what fails nothing;
    else the strongest that keeps clean accuracy, or loses least.
    """
    found = reaches(analysis.results, verdicts)
    for candidates in ([r.meets for r in found], [r.waived for r in found], [r.unbroken for r in found]):
        names = [name for name in candidates if name is not None]
        if names:
            return max(names, key=lambda name: worth(analysis.results, name))
    return analysis.telling
