"""The verdict as Markdown for a comment on a pull request: under 64 KB whatever the run."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from reports.baseline import changes
from reports.compare import Comparison
from reports.exports._markdown import code, prose, table
from reports.exports._verdict import headline, tally
from reports.gate import Decision, Verdicts
from reports.metrics import metric as about_metric
from reports.results import Results
from reports.status import MARKS, gravity, limit_words
from reports.words import change, change_span, conditions, counted

FILE = "report.md"
LIMIT = 64_000
"""Bytes; GitHub takes 65,536 characters."""
_SHARE = 24_000
"""Bytes that one table may take, so that the others have room."""


_Item = TypeVar("_Item")


def render(results: Results, verdicts: Verdicts, baseline: Results | None = None) -> str:
    """The answer, what keeps the run from passing, what passed (folded), what changed, and the hashes."""
    mark = MARKS[verdicts.status]
    policy = code(verdicts.policy.name)
    open_ = sorted((d for d in verdicts.decisions if d.status not in ("pass", "not_applicable")), key=gravity)
    passed = [d for d in verdicts.decisions if d.status == "pass"]
    lines = [f"## {mark.icon} {mark.word}: {code(results.about.get('plan_name') or 'run')} by {policy}", ""]
    lines += [f"{prose(sentence, 1500)}\n" for sentence in headline(results, verdicts)]
    lines += [f"Decisions: {tally(verdicts)}.", ""]
    lines += [f"Note: {prose(remark)}.\n" for remark in verdicts.remarks[:20]]
    if open_:
        lines += ["### Not passed", "", *_fitting(_decisions, open_), ""]
    if baseline is not None:
        lines += ["### Since the baseline", "", *_since(results, baseline), ""]
    if passed:
        summary = f"<summary>Passed: {len(passed):,}</summary>"
        lines += ["<details>", summary, "", *_fitting(_decisions, passed, 10_000), "", "</details>", ""]
    lines += _hashes(results, verdicts)
    text = "\n".join(lines) + "\n"
    assert len(text.encode()) < LIMIT, "each part is bounded, and so is their sum"
    return text


def _fitting(
    make: Callable[[Sequence[_Item]], list[str]], items: Sequence[_Item], limit: int = _SHARE
) -> list[str]:
    """A table of as many items as fit, and how many more there are."""
    lines = make(items)
    sizes = [len(line.encode()) + 1 for line in lines]
    shown, total = 2, sum(sizes[:2])
    while shown < len(lines) and total + sizes[shown] <= limit:
        total += sizes[shown]
        shown += 1
    left = len(lines) - shown
    return lines[:shown] + ([f"\n… and {left:,} more: see report.html or run.json."] if left else [])


def _decisions(decisions: Sequence[Decision]) -> list[str]:
    rows = []
    for d in decisions:
        mark, waiver = MARKS[d.status], d.waiver
        reason = prose(d.reason)
        if waiver is not None:
            reason = f"until {waiver.expires}: {prose(waiver.reason)} ({reason})"
        asked = prose(limit_words(d.rule))
        rows.append((f"{mark.icon} {mark.word}", code(d.rule.id), code(d.variant), asked, reason))
    return table(("", "rule", "variant", "asked", "found"), rows)


def _since(results: Results, baseline: Results) -> list[str]:
    found = changes(results, baseline)
    moved = [c for c in found if c.direction != "same"]
    moved.sort(key=lambda c: (c.direction != "worse", -abs(c.pooled.value)))
    digest = code(str(baseline.about.get("plan_digest"))[:12])
    lead = (
        f"{counted(len(found), 'figure')} compared in pairs on the same examples with those of the baseline "
        f"{code(baseline.about.get('plan_name') or 'run')} ({digest}); {counted(len(moved), 'change')} shown "
        "(Holm, 5%)."
    )
    return [lead, "", *_fitting(_changes, moved)] if moved else [lead]


def _changes(comparisons: Sequence[Comparison]) -> list[str]:
    rows = []
    for c in comparisons:
        about, pooled = about_metric(c.metric), c.pooled
        figure = f"{change(pooled.value, about.unit)} ({change_span(pooled.low, pooled.high, about.unit)})"
        under = prose(conditions(c.at))
        rows.append((c.direction, code(c.variant), f"{prose(about.title)}, {under}", prose(figure)))
    return table(("", "variant", "figure", "this run minus the baseline (95% interval)"), rows)


def _hashes(results: Results, verdicts: Verdicts) -> list[str]:
    done = results.completeness
    digest = code(str(results.about.get("plan_digest"))[:12])
    policy = code(verdicts.policy.digest[:12]) if verdicts.policy.digest else "not from a file"
    return [
        f"{done.done:,} of {counted(done.planned, 'planned unit')} done; plan {digest}; policy {policy}. "
        "Figures are of the worst training seed and conditions, with 95% intervals; a whole interval must "
        "keep its limit."
    ]
