"""A comment for a pull request: the verdict, what keeps it from passing, and what changed; below 64 KB."""

from collections.abc import Iterable

from reports.data.results import Results
from reports.exports._facts import WORDS, counts, plan_name
from reports.families import keys
from reports.gate.judge import Decision, Verdicts
from reports.gate.status import MARKS, gravity, waived
from reports.language.markdown import code, text
from reports.language.words import counted
from reports.page.since import since
from reports.story.analysis import analyse

FILE = "comment.md"
LIMIT = 60_000
"""Bytes; GitHub refuses a comment of more than 65 536 characters, and a workflow adds a few of its own."""
ICONS = {
    "pass": "✅",
    "fail": "❌",
    "inconclusive": "❔",
    "not_run": "⬜",
    "not_applicable": "▫️",
    "waived": "⏭️",
}


def render(results: Results, verdicts: Verdicts, baseline: Results | None = None) -> str:
    """Worst first; what does not fit is counted and left out, never cut in the middle.

    Names are code and sentences are escaped: no mention, link or table is made by what a run holds.
    """
    verdict, found = verdicts.status, counts(verdicts)
    listed = ", ".join(f"{n:,} {MARKS[s].word.lower()}" for s, n in found.items() if n)  # type: ignore[index]
    state = results.completeness
    head = [
        f"### {ICONS[verdict]} {MARKS[verdict].word}: {code(plan_name(results))} by the policy "
        f"{code(verdicts.policy.name)}",
        "",
        f"{WORDS[verdict]} {listed[:1].upper()}{listed[1:] or 'Nothing was judged'}. "
        f"{state.done:,} of {counted(state.planned, 'planned unit')} done, {state.failed:,} failed. "
        f"Judged on {verdicts.judged_on}.",
        *(["", *[f"- {text(remark)}" for remark in verdicts.remarks[:20]]] if verdicts.remarks else []),
    ]
    foot = [
        "",
        "_Robust accuracy is an upper bound and a leak found a lower bound. Evidence, not a certificate._",
    ]
    blocks = [*_changes(results, verdicts, baseline), *_decisions(verdicts)]
    room = LIMIT - _size(head) - _size(foot)
    return "\n".join([*head, *_fitting(blocks, room), *foot]) + "\n"


Block = tuple[list[str], list[str], list[str]]
"""Lines before, rows of which the last may be left out, lines after."""


def _decisions(verdicts: Verdicts) -> list[Block]:
    """Two tables: what does not pass, waived or not, and, folded, what does."""
    ordered = sorted(verdicts.decisions, key=gravity)
    open_ones = [d for d in ordered if d.status not in ("pass", "not_applicable")]
    rest = [d for d in ordered if d.status == "pass"]
    table = ["| | Rule | Variant | Found |", "|---|---|---|---|"]
    blocks: list[Block] = []
    if open_ones:
        blocks.append((["", *table], [_row(d) for d in open_ones], []))
    if rest:
        fold = ["", "<details><summary>What passes</summary>", "", *table]
        blocks.append((fold, [_row(d) for d in rest], ["", "</details>"]))
    return blocks


def _row(decision: Decision) -> str:
    reason = text(decision.reason)
    if decision.waiver is not None:
        reason = f"{text(waived(decision))} ({reason})"
    mark = f"{ICONS[decision.status]} {MARKS[decision.status].word}"
    return f"| {mark} | {code(decision.rule.id)} | {code(decision.variant, 120)} | {reason} |"


def _changes(results: Results, verdicts: Verdicts, baseline: Results | None) -> list[Block]:
    """What changed since the baseline, in pairs; nothing where there is none."""
    if baseline is None or not keys(results):
        return []
    found = since(analyse(results), verdicts, baseline)
    title = ["", f"#### Since the baseline {code(found.title)} ({code(found.digest)})", ""]
    blocks: list[Block] = [(title, [f"- {text(line)}" for line in found.summary], [])]
    for table in (found.verdicts, found.figures):
        if table is not None:
            head = ["", f"{text(table.caption)}:", "", f"| {' | '.join(text(c) for c in table.columns)} |"]
            head.append("|" + "---|" * len(table.columns))
            rows = []
            for row in table.rows:
                words = [cell.mark.word if cell.mark else cell.text for cell in row]
                rows.append(f"| {' | '.join([code(words[0], 120), *[text(w) or '–' for w in words[1:]]])} |")
            blocks.append((head, rows, []))
    return blocks


def _fitting(blocks: Iterable[Block], room: int) -> list[str]:
    """As many rows of each block, in order, as fit into ``room`` bytes; the rest is counted."""
    lines: list[str] = []
    for before, rows, after in blocks:
        spare = room - _size([*before, *after]) - 80
        if spare <= 0:
            return lines
        kept = []
        for row in rows:
            spare -= _size([row])
            if spare < 0:
                break
            kept.append(row)
        left = len(rows) - len(kept)
        note = ["", f"… and {counted(left, 'more row')}; report.html has them all."] if left else []
        block = [*before, *kept, *note, *after]
        room -= _size(block)
        lines += block
    return lines


def _size(lines: Iterable[str]) -> int:
    return sum(len(line.encode("utf-8")) + 1 for line in lines)
