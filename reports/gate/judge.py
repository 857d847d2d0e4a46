"""The gate: judges a run by a policy. Whole intervals against limits; what is not known does not pass."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

from reports.data.ledger import canonical
from reports.data.results import Results
from reports.gate.change import Changes, changes
from reports.gate.doubts import Doubts, doubts_of
from reports.gate.of_clean import of_clean
from reports.gate.policy import Policy, Rule
from reports.gate.rows import Found, Gap, Reading, find, variants_of
from reports.gate.verdict import EXIT_CODES, WORST_FIRST, Decision, Status, Verdicts
from reports.gate.waivers import waive
from reports.gate.weigh import Together, Weighed, together, weigh
from reports.language.metrics import metric as about_metric
from reports.language.words import change, change_span, counted, number, shown, span
from reports.stats.difference import TAIL

__all__ = ["EXIT_CODES", "WORST_FIRST", "Decision", "Status", "Verdicts", "judge", "three_way"]


FIRST = "not asked: there is no baseline yet, by --first"


def three_way(low: float, high: float, limit: float, *, upper: bool) -> Status:
    """The whole interval against the limit, which itself is allowed. ``upper``: the limit is from above."""
    if upper:
        low, high, limit = -high, -low, -limit
    if low >= limit:
        return "pass"
    return "fail" if high < limit else "inconclusive"


def judge(
    results: Results,
    policy: Policy,
    baseline: Results | None = None,
    today: date | None = None,
    *,
    first: bool = False,
) -> Verdicts:
    """Every rule of the policy on every variant that it is for.

    ``baseline``: an earlier run for the rules that compare with one; whether the two can be compared is for
    :func:`reports.gate.baseline.obstacles` to say first. ``today``: the day of judgement, which decides what
    waivers count; the calendar's where none is given. ``first``: there is no earlier run yet, so that rules
    against one are not asked, which the verdict says. Raises PolicyError where a waiver lasts too long.
    """
    judged_on = today or date.today()
    doubts, before = doubts_of(results), None if baseline is None else doubts_of(baseline)
    decisions: list[Decision] = []
    for rule in policy.rules:
        judged = _judge_rule(results, rule, baseline, doubts, before)
        if first and baseline is None and rule.compares and rule.reference == "baseline":
            judged = [replace(d, status="not_applicable", reason=FIRST, asked=False) for d in judged]
        decisions += _asked(results, policy, rule, judged)
    known = {*results.names(), *results.measurements["variant"]}
    waived, remarks = waive(decisions, policy, judged_on, known)
    if all(decision.status in ("not_run", "not_applicable") for decision in waived):
        remarks = (*remarks, "no rule of this policy could be applied to any variant of this run")
    crashed = _crashed(results, waived)
    remarks += tuple(
        f"{probe} crashed on {shown(name, 60)}, and no rule of this policy speaks of it"
        for name, probe in crashed
    )
    unasked = {d.rule.id: d.reason for d in waived if not d.asked}
    remarks += tuple(
        f"{', '.join(rule for rule in unasked if unasked[rule] == reason)}: {reason}"
        for reason in dict.fromkeys(unasked.values())
    )
    return Verdicts(policy, waived, judged_on, results.completeness.waiting, crashed, remarks)


def _asked(results: Results, policy: Policy, rule: Rule, decisions: list[Decision]) -> list[Decision]:
    """A preset asks what everybody should; what of it the plan leaves out was not asked, and did not go
    missing. But without evasion no preset passes; and a policy of the user's own asks all that it says."""
    if not policy.is_preset:
        return decisions
    skipped = results.about.get("skipped", {})
    probe = next((name for name, metrics in skipped.items() if rule.metric in metrics), None)
    if probe is None:
        return decisions
    reason = f"not asked: the plan leaves out {shown(probe, 60)}"
    if rule.metric == "robust_accuracy":
        reason = f"the plan leaves out {shown(probe, 60)}, without which no preset passes"
        return [replace(d, reason=reason) if d.status == "not_run" else d for d in decisions]
    return [
        replace(d, status="not_applicable", reason=reason, asked=False) if d.status == "not_run" else d
        for d in decisions
    ]


def _crashed(results: Results, decisions: Sequence[Decision]) -> tuple[tuple[str, str], ...]:
    """Probes that failed on a variant and of which no rule judges anything: the plan asked, nobody knows."""
    rows = results.measurements
    probe = dict(zip(rows["metric"], rows["probe"], strict=True))
    judged = {(d.variant, probe.get(d.rule.metric)) for d in decisions if d.status != "not_applicable"}
    failed = rows[(rows["status"] == "failed") & (rows["probe"] != "cost")]
    pairs = dict.fromkeys(zip(failed["variant"], failed["probe"], strict=True))
    return tuple(pair for pair in pairs if pair not in judged)


def _judge_rule(
    results: Results, rule: Rule, baseline: Results | None, doubts: Doubts, before: Doubts | None
) -> list[Decision]:
    names = variants_of(results, rule)
    if not names:
        pattern, begun = shown(", ".join(rule.variants), 80), results.completeness.done
        why = "no variant of this run has such a name" if begun else "no unit of this run has finished"
        return [Decision(rule, pattern, "not_run", why)]
    if rule.compares and rule.reference == "baseline" and baseline is None:
        return [Decision(rule, name, "not_run", "it needs a baseline run (--baseline DIR)") for name in names]
    exempt = []
    if rule.compares and rule.reference == "dense" and "dense" in names:
        names.remove("dense")
        exempt = [Decision(rule, "dense", "not_applicable", "dense is what the others are compared with")]
    found = find(results, rule, names)
    if rule.compares:
        other = baseline if rule.reference == "baseline" else None
        reference = doubts if before is None or other is None else before
        decisions = _judge_changes(results, rule, changes(results, rule, found, other), doubts, reference)
    else:
        found = of_clean(results, found) if rule.of else found
        decisions = _judge_figures(results, rule, found, doubts)
    if decisions and all(decision.status == "not_applicable" for decision in decisions):
        # A rule that could be applied to nothing has shown nothing.
        decisions = [replace(decision, status="not_run") for decision in decisions]
    return exempt + decisions


def _judge_figures(
    results: Results, rule: Rule, found: Mapping[str, Found], doubts: Doubts
) -> list[Decision]:
    """Figures against their limit."""
    weighed = {name: weigh(rule, one.readings) for name, one in found.items() if one.readings}
    claims = together(results, weighed)
    return [
        _decide(rule, name, one, weighed[name], claims[name], doubts)
        if name in weighed
        else _missing(rule, name, one.gaps)
        for name, one in found.items()
    ]


def _judge_changes(
    results: Results, rule: Rule, moved: Mapping[str, Changes], doubts: Doubts, reference: Doubts
) -> list[Decision]:
    """Drops or rises against their margin."""
    weighed = {name: one.weighed for name, one in moved.items() if one.weighed is not None}
    claims = together(results, weighed)
    decisions = []
    for name, one in moved.items():
        if one.weighed is None:
            decisions.append(_missing(rule, name, one.found.gaps))
            continue
        claim = replace(claims[name], broken=max(claims[name].broken, one.shown(rule)))
        other = name if rule.reference == "baseline" else "dense"
        theirs = reference.about(rule, other, one.found.readings)
        denial = f"{rule.reference} itself is in doubt: {theirs}" if theirs else ""
        decision = _decide(rule, name, one.found, one.weighed, claim, doubts, denial)
        change = one.comparisons.get(canonical(one.weighed.reading.at))
        decisions.append(replace(decision, change=change))
    return decisions


def _missing(rule: Rule, variant: str, gaps: tuple[Gap, ...]) -> Decision:
    """There is no figure at all: the worst of the reasons decides."""
    gap = min(gaps, key=lambda gap: WORST_FIRST.index(gap.status))
    return Decision(rule, variant, gap.status, gap.text)


def _decide(
    rule: Rule,
    variant: str,
    found: Found,
    weighed: Weighed,
    claims: Together,
    doubts: Doubts,
    denial: str = "",
) -> Decision:
    """The order in which a figure's troubles count: failure, gaps, too little data, interval, doubts.

    ``denial``: why the figure decides nothing, neither way; all else only keeps it from passing.
    """
    reading = weighed.reading
    status, why = _held(rule, weighed, claims)
    gap = min(found.gaps, key=lambda gap: WORST_FIRST.index(gap.status), default=None)
    if status != "inconclusive" and denial:
        status, why = "inconclusive", denial
    if status != "fail" and gap is not None:
        status, why = ("not_run" if gap.status == "not_run" else "inconclusive"), gap.text
    elif status != "fail" and (short := _short(rule, found, reading)):
        status, why = "inconclusive", short
    elif status == "pass" and (
        doubt := doubts.about(rule, variant, found.readings) or doubts.destroyed(rule, found.readings)
    ):
        status, why = "inconclusive", doubt
    return Decision(
        rule,
        variant,
        status,
        figure_words(rule, reading, found.seeds) + (f"; {why}" if why else ""),
        reading.value,
        reading.low if weighed.known else None,
        reading.high if weighed.known else None,
        reading.n,
        found.seeds,
        reading.at,
        reading.seed,
    )


def _held(rule: Rule, weighed: Weighed, claims: Together) -> tuple[Status, str]:
    """The interval and the corrected claims against the limit, and what leaves it open."""
    if not weighed.known:
        return "inconclusive", "it has no interval"
    # An end that touches the limit has p = 2.5% but for rounding; the limit itself is allowed.
    if claims.holds <= TAIL * (1 + 1e-9):
        return "pass", ""
    if claims.broken < TAIL * (1 - 1e-9):
        return "fail", ""
    alone = three_way(weighed.reading.low, weighed.reading.high, rule.limit, upper=rule.kind != "min")
    if alone == "fail":
        return (
            "inconclusive",
            "the interval, corrected for the number of variants (Holm), straddles the limit",
        )
    if alone == "inconclusive":
        return "inconclusive", "the interval straddles the limit"
    if claims.alone > TAIL * (1 + 1e-9):
        why = "the interval, corrected for the number of methods (Bonferroni), straddles the limit"
    else:
        why = "a milder variant of its method is not shown to keep the limit, and the mildest is tested first"
    return "inconclusive", why


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
    if rule.seed is not None:
        which = f"seed {rule.seed}, which ships: "
    if rule.compares:
        noun = rule.kind.removeprefix("max_")
        asked = change(rule.limit, unit).removeprefix("+")
        interval = change_span(reading.low, reading.high, unit)
        text = f"{which}{noun} {change(reading.value, unit)} ({interval})"
        asked = f"a {noun} of at most {asked} against {rule.reference} is allowed"
    else:
        text = f"{which}{number(reading.value, unit)} ({span(reading.low, reading.high, unit)})"
        share = " of clean accuracy" if rule.of else ""
        text = text.replace(" (", f"{share} (", 1)
        asked = f"at {'least' if rule.kind == 'min' else 'most'} {number(rule.limit, unit)}{share} is asked"
    count = "" if reading.n is None else f", n = {reading.n:,}"
    return f"{text}{count}, where {asked}"
