"""The gate: judges a run by a policy. Whole intervals against limits; what is not known does not pass."""

import math
from dataclasses import replace
from datetime import date

from reports.data.ledger import canonical
from reports.data.results import Results
from reports.gate.change import TAIL, Changes, changes
from reports.gate.doubts import Doubts
from reports.gate.policy import Policy, Rule
from reports.gate.rows import Found, Gap, Reading, find, variants_of, worst
from reports.gate.verdict import EXIT_CODES, WORST_FIRST, Decision, Status, Verdicts
from reports.gate.waivers import waive
from reports.language.metrics import metric as about_metric
from reports.language.words import change, change_span, counted, number, shown, span

__all__ = ["EXIT_CODES", "WORST_FIRST", "Decision", "Status", "Verdicts", "judge", "three_way"]


def three_way(low: float, high: float, limit: float, *, upper: bool) -> Status:
    """The whole interval against the limit, which itself is allowed. ``upper``: the limit is from above."""
    if upper:
        low, high, limit = -high, -low, -limit
    if low >= limit:
        return "pass"
    return "fail" if high < limit else "inconclusive"


def judge(
    results: Results, policy: Policy, baseline: Results | None = None, today: date | None = None
) -> Verdicts:
    """Every rule of the policy on every variant that it is for.

    ``baseline``: an earlier run for the rules that compare with one; whether the two can be compared is for
    :func:`reports.gate.baseline.obstacles` to say first. ``today``: the day of judgement, which decides what
    waivers count; the calendar's where none is given. Raises PolicyError where a waiver lasts too long.
    """
    judged_on = today or date.today()
    doubts, before = Doubts(results), None if baseline is None else Doubts(baseline)
    decisions: list[Decision] = []
    for rule in policy.rules:
        decisions += _judge_rule(results, rule, baseline, doubts, before)
    known = {*results.names(), *results.measurements["variant"]}
    waived, remarks = waive(decisions, policy, judged_on, known)
    return Verdicts(policy, waived, judged_on, results.completeness.waiting, remarks)


def _judge_rule(
    results: Results, rule: Rule, baseline: Results | None, doubts: Doubts, before: Doubts | None
) -> list[Decision]:
    names = variants_of(results, rule)
    if not names:
        pattern = shown(", ".join(rule.variants), 80)
        return [Decision(rule, pattern, "not_run", "no variant of this run has such a name")]
    if rule.compares and rule.reference == "baseline" and baseline is None:
        return [Decision(rule, name, "not_run", "it needs a baseline run (--baseline DIR)") for name in names]
    exempt = []
    if rule.compares and rule.reference == "dense" and "dense" in names:
        names.remove("dense")
        exempt = [Decision(rule, "dense", "not_applicable", "dense is what the others are compared with")]
    found = find(results, rule, names)
    decisions = []
    if rule.compares:
        other = baseline if rule.reference == "baseline" else None
        reference = doubts if before is None or other is None else before
        for name, moved in changes(results, rule, found, other).items():
            decisions.append(_judge_change(rule, name, moved, doubts, reference))
    else:
        decisions = [_judge_figure(rule, name, one, doubts) for name, one in found.items()]
    if decisions and all(decision.status == "not_applicable" for decision in decisions):
        # A rule that could be applied to nothing has shown nothing.
        decisions = [replace(decision, status="not_run") for decision in decisions]
    return exempt + decisions


def _judge_figure(rule: Rule, variant: str, found: Found, doubts: Doubts) -> Decision:
    """A figure against its limit."""
    if not found.readings:
        return _missing(rule, variant, found.gaps)
    reading = worst(found.readings, upper=rule.kind == "max")
    return _decide(rule, variant, found, reading, doubts)


def _judge_change(rule: Rule, variant: str, moved: Changes, doubts: Doubts, reference: Doubts) -> Decision:
    """A drop or rise against its margin: the interval, and Holm's correction for the number of variants."""
    found = moved.found
    if not found.readings:
        return _missing(rule, variant, found.gaps)
    reading = worst(found.readings, upper=True)
    other = variant if rule.reference == "baseline" else "dense"
    theirs = reference.about(rule, other, found.readings)
    denial = f"{rule.reference} itself is in doubt: {theirs}" if theirs else ""
    if not denial and min(moved.holds, moved.broken) >= TAIL:
        denial = "the interval, corrected for the number of variants (Holm), straddles the limit"
    decision = _decide(rule, variant, found, reading, doubts, denial)
    return replace(decision, change=moved.comparisons.get(canonical(reading.at)))


def _missing(rule: Rule, variant: str, gaps: tuple[Gap, ...]) -> Decision:
    """There is no figure at all: the worst of the reasons decides."""
    gap = min(gaps, key=lambda gap: WORST_FIRST.index(gap.status))
    return Decision(rule, variant, gap.status, gap.text)


def _decide(
    rule: Rule, variant: str, found: Found, reading: Reading, doubts: Doubts, denial: str = ""
) -> Decision:
    """The order in which a figure's troubles count: too little data, failure, gaps, interval, doubts.

    ``denial``: why the figure decides nothing, neither way; a doubt only keeps it from passing.
    """
    status = three_way(reading.low, reading.high, rule.limit, upper=rule.kind != "min")
    gap = min(found.gaps, key=lambda gap: WORST_FIRST.index(gap.status), default=None)
    why = ""
    if short := _short(rule, found, reading):
        status, why = "inconclusive", short
    elif status == "inconclusive" and not math.isfinite(reading.low):
        why = "it has no interval"
    elif status == "inconclusive":
        why = "the interval straddles the limit"
    elif denial:
        status, why = "inconclusive", denial
    if status != "fail" and gap is not None:
        status, why = ("not_run" if gap.status == "not_run" else "inconclusive"), gap.text
    elif status == "pass" and (doubt := doubts.about(rule, variant, found.readings)):
        status, why = "inconclusive", doubt
    known = math.isfinite(reading.low)
    return Decision(
        rule,
        variant,
        status,
        figure_words(rule, reading, found.seeds) + (f"; {why}" if why else ""),
        reading.value,
        reading.low if known else None,
        reading.high if known else None,
        reading.n,
        found.seeds,
        reading.at,
    )


def _short(rule: Rule, found: Found, reading: Reading) -> str:
    """What the rule asks for more of, if it does."""
    if rule.min_n is not None and (reading.n is None or reading.n < rule.min_n):
        return f"the rule asks for n = {rule.min_n:,} at least"
    if rule.min_seeds is not None and found.seeds < rule.min_seeds:
        return f"the rule asks for {counted(rule.min_seeds, 'seed')} at least"
    return ""


def figure_words(rule: Rule, reading: Reading, seeds: int) -> str:
    """``worst of 3 seeds 34.2% (30.1–38.5%), n = 500, where at least 40.0% is asked``."""
    unit = about_metric(rule.metric).unit
    which = f"worst of {seeds} seeds " if seeds > 1 else ""
    if rule.compares:
        noun = rule.kind.removeprefix("max_")
        asked = change(rule.limit, unit).removeprefix("+")
        interval = change_span(reading.low, reading.high, unit)
        text = f"{which}{noun} {change(reading.value, unit)} ({interval})"
        asked = f"a {noun} of at most {asked} against {rule.reference} is allowed"
    else:
        text = f"{which}{number(reading.value, unit)} ({span(reading.low, reading.high, unit)})"
        asked = f"at {'least' if rule.kind == 'min' else 'most'} {number(rule.limit, unit)} is asked"
    count = "" if reading.n is None else f", n = {reading.n:,}"
    return f"{text}{count}, where {asked}"
