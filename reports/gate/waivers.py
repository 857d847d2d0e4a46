"""Waivers: what does not pass may stand for a while, by name and for a reason, and never reads as a pass."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import MAXYEAR, date
from fnmatch import fnmatchcase

from reports.gate.policy import Policy, PolicyError, Waiver
from reports.gate.verdict import Decision
from reports.language.words import counted, shown


def last_day(judged_on: date) -> date:
    """The last day that a waiver may name: a year after the day of judgement."""
    year = min(judged_on.year + 1, MAXYEAR)
    try:
        return judged_on.replace(year=year)
    except ValueError:  # 29 February
        return judged_on.replace(year=year, day=28)


def check(policy: Policy, judged_on: date) -> None:
    """Raises PolicyError where a waiver lasts longer than a year from the day of judgement."""
    end = last_day(judged_on)
    lines = [
        f"{policy.file}: waiver {number} ({shown(waiver.rule, 80)}): expires: {waiver.expires} is more than "
        f"a year after the day of judgement, {judged_on}; give a day up to {end}, and renew it if it must be"
        for number, waiver in enumerate(policy.waivers, 1)
        if waiver.expires > end
    ]
    if lines:
        raise PolicyError("\n".join(lines))


def waive(
    decisions: Sequence[Decision], policy: Policy, judged_on: date, variants: Collection[str]
) -> tuple[tuple[Decision, ...], tuple[str, ...]]:
    """Decisions with what is waived on that day as ``waived``, and what the reader must know of the waivers.

    A pattern waives figures that do not pass; what was not run is waived only for a variant named in full,
    since nobody has looked at it. ``variants``: the names of the run's. Raises PolicyError as :func:`check`.
    """
    check(policy, judged_on)
    found, remarks = list(decisions), []
    for waiver in policy.waivers:
        what = f"the waiver of {shown(waiver.rule, 80)} for {shown(waiver.variant, 80)}"
        matched = [d for d in found if d.rule.id == waiver.rule and _named(d.variant, waiver.variant)]
        held = [d for d in matched if d.status in ("fail", "inconclusive") or _by_name(d, waiver, variants)]
        missing = [d for d in matched if d.status == "not_run" and d not in held]
        if not matched:
            remarks.append(f"{what} matches nothing")
        elif waiver.expires < judged_on:
            remarks.append(f"{what} expired on {waiver.expires} and waives nothing on {judged_on}")
            continue
        elif not held and not missing:
            remarks.append(f"{what} is not needed")
        if held and waiver.variant not in {d.variant for d in matched}:
            remarks.append(f"{what} is by a pattern: it waives {counted(len(held), 'decision')}")
        if missing:
            remarks.append(
                f"{what} is by a pattern and does not waive what was not run "
                f"({counted(len(missing), 'decision')}): name each variant in full"
            )
        found = [
            replace(d, status="waived", judged=d.status, waiver=waiver) if d in held else d for d in found
        ]
    return tuple(found), tuple(remarks)


def _named(variant: str, pattern: str) -> bool:
    return variant == pattern or fnmatchcase(variant, pattern)


def _by_name(decision: Decision, waiver: Waiver, variants: Collection[str]) -> bool:
    """Whether this was not run and the waiver names its very variant (not the pattern of a rule for none)."""
    return decision.status == "not_run" and decision.variant == waiver.variant in variants
