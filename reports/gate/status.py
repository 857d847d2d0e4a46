"""A decision's status as a word, an icon and a colour; and a rule in words."""

from dataclasses import dataclass

from reports.gate.judge import WORST_FIRST, Decision, Status
from reports.gate.policy import SEVERITIES, Rule
from reports.language.metrics import metric as about_metric
from reports.language.words import change, change_span, conditions, number, shown, span


@dataclass(frozen=True, slots=True)
class Mark:
    """How a status is shown: never by colour alone. ``css`` is the class that colours it."""

    word: str
    icon: str
    css: str


MARKS: dict[Status, Mark] = {
    "pass": Mark("PASS", "✓", "pass"),
    "fail": Mark("FAIL", "✕", "fail"),
    "inconclusive": Mark("INCONCLUSIVE", "?", "inconclusive"),
    "not_run": Mark("NOT RUN", "–", "not-run"),
    "not_applicable": Mark("NOT APPLICABLE", "·", "not-applicable"),
    "waived": Mark("WAIVED", "⊘", "waived"),
}
NO_LIMIT = Mark("NO LIMIT", "·", "not-applicable")
"""Measured, but the policy has no rule for it."""
NOT_ASKED = Mark("NOT ASKED", "·", "not-applicable")
"""The plan leaves it out, and no rule of the user's own asks for it."""


def mark_of(decision: Decision) -> Mark:
    """How one decision is shown."""
    return MARKS[decision.status] if decision.asked else NOT_ASKED


def gravity(decision: Decision) -> tuple[int, int, float]:
    """Sorting key, worst first: status, then the rule's severity, then how far beyond the limit it lies."""
    beyond = 0.0
    if decision.value is not None:
        beyond = decision.value - decision.limit
        if decision.rule.kind == "min":
            beyond = -beyond
    severity = SEVERITIES.index(decision.rule.severity)
    return (WORST_FIRST.index(decision.status), severity, -beyond)


def name_of(metric: str) -> str:
    """A metric's title for use inside a sentence: ``robust accuracy``, ``membership AUC``."""
    title = about_metric(metric).title
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


def requirement(rule: Rule) -> str:
    """A rule in words: ``Robust accuracy, worst case over all attacks: at most 5.0 points below dense``."""
    what = about_metric(rule.metric).title
    under = conditions(rule.at)
    return f"{what}{f', {under}' if under else ''}: {limit_words(rule)}"


def limit_words(rule: Rule) -> str:
    """``at least 40.0%``, ``at most 5.0 points below dense``."""
    unit = about_metric(rule.metric).unit
    if not rule.compares:
        limit = f"at {'least' if rule.kind == 'min' else 'most'} {number(rule.limit, unit)}"
        return f"{limit} of clean accuracy" if rule.of else limit
    size = change(rule.limit, unit).removeprefix("+")
    side = "below" if rule.kind == "max_drop" else "above"
    return f"at most {size} {side} {rule.reference}"


def limit_short(rule: Rule) -> str:
    """The same for a narrow column: ``≥ 40.0%``, ``drop ≤ 5.0 points``."""
    unit = about_metric(rule.metric).unit
    if rule.compares:
        size = change(rule.limit, unit).removeprefix("+")
        return f"{rule.kind.removeprefix('max_')} ≤ {size}"
    limit = f"{'≥' if rule.kind == 'min' else '≤'} {number(rule.limit, unit)}"
    return f"{limit} of clean" if rule.of else limit


def figure(rule: Rule, value: float | None) -> str:
    """A decision's figure as the rule counts it: a share with its unit, a change with its sign."""
    if value is None:
        return ""
    unit = about_metric(rule.metric).unit
    if rule.compares:
        return change(value, unit)
    return f"{number(value, unit)} of clean" if rule.of else number(value, unit)


def subject(decision: Decision) -> str:
    """What a decision is about, in a sentence: ``robust accuracy at ε = 0.1``."""
    under = conditions({k: v for k, v in (decision.at or {}).items() if k in ("eps", "queries")})
    return name_of(decision.rule.metric) + (f" at {under}" if under else "")


def brief(decision: Decision) -> str:
    """A decision in a few words: ``robust accuracy at ε = 0.1: drop 16.8 points (≤ 8.0 points)``."""
    if decision.value is None:
        return f"{subject(decision)}: {MARKS[decision.status].word.lower()}"
    noun = f"{decision.rule.kind.removeprefix('max_')} " if decision.rule.compares else ""
    found = figure(decision.rule, decision.value).removeprefix("+")
    return f"{subject(decision)}: {noun}{found} ({limit_short(decision.rule).removeprefix(noun)})"


def waived(decision: Decision) -> str:
    """A waiver in words: ``waived until 2027-01-31 (FAIL without the waiver): retraining is planned``."""
    if decision.waiver is None or decision.judged is None:
        return ""
    without = f"{MARKS[decision.judged].word} without the waiver"
    return f"waived until {decision.waiver.expires} ({without}): {shown(decision.waiver.reason, 300)}"


def told(decision: Decision) -> str:
    """A decision's figure in a sentence: ``robust accuracy at ε = 0.1 falls by 16.8 points (…)``."""
    rule, value, what = decision.rule, decision.value, subject(decision)
    unit = about_metric(rule.metric).unit
    if value is None:
        return f"{what}: {decision.reason}"
    interval = ""
    if decision.low is not None and decision.high is not None:
        span_of = change_span if rule.compares else span
        interval = f"{span_of(decision.low, decision.high, unit)}; "
    asked = f"({interval}{limit_words(rule)} {'allowed' if rule.compares else 'asked'})"
    if decision.seeds > 1:
        asked = f"in the worst of {decision.seeds} seeds {asked}"
    if not rule.compares:
        share = " of clean accuracy" if rule.of else ""
        return f"{what} is {number(value, unit)}{share} {asked}"
    falls = (rule.kind == "max_drop") == (value >= 0)
    return f"{what} {'falls' if falls else 'rises'} by {change(abs(value), unit).removeprefix('+')} {asked}"
