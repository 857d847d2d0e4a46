"""What pruning did, in sentences: a pure function of the results."""

from dataclasses import dataclass

from reports.data.health import healths
from reports.data.key import chance, method_title
from reports.data.results import Results
from reports.gate.judge import Verdicts, judge
from reports.gate.policy import DEFAULT, preset
from reports.gate.status import told
from reports.language import words
from reports.story.analysis import Analysis, analyse
from reports.story.headline import headline, left_open, moves, waivers
from reports.story.reach import reaches

MANY = 6
"""More names than this are not listed one by one in a sentence."""


NOT_EQUAL = (
    "Not shown to differ does not mean equal: the interval says how large a difference remains possible. "
    "“Shown” means a Holm-adjusted p-value below 0.05 among all variants."
)


@dataclass(frozen=True, slots=True)
class Summary:
    """``headline``: the answer; ``methods``: the same by method; ``cautions``: what limits it."""

    headline: tuple[str, ...]
    methods: tuple[str, ...]
    cautions: tuple[str, ...]


def sentences(results: Results, verdicts: Verdicts | None = None) -> list[str]:
    """Every sentence of the summary, most important first; judged by ``standard`` if by nothing else."""
    summary = summarise(analyse(results), verdicts or judge(results, preset(DEFAULT)))
    return [*summary.headline, *summary.methods, *summary.cautions]


def summarise(analysis: Analysis, verdicts: Verdicts) -> Summary:
    """Say what can be said of this run under this policy, and what cannot."""
    answerable = not analysis.results.measurements.empty and "dense" not in analysis.collapsed
    methods = (*_methods(analysis, verdicts), *_control(analysis)) if answerable else ()
    return Summary(tuple(headline(analysis, verdicts)), methods, tuple(_cautions(analysis, verdicts)))


def _methods(a: Analysis, verdicts: Verdicts) -> list[str]:
    """Per method: up to where it meets the policy, or fails nothing, and what stops it there."""
    lines = []
    for reach in reaches(a.results, verdicts):
        title, own = words.shown(reach.series, 60), reach.variants == (reach.series,)
        last = reach.meets or reach.waived or reach.unbroken
        upto = "" if last is None or own else f" up to {words.percent(a.results.made[last].strength)}"
        if reach.meets is not None:
            lead = f"meets the policy{upto}"
        elif reach.waived is not None:
            lead = f"let through by waivers alone{upto} ({waivers(verdicts, reach.waived)})"
        elif last is not None:
            open_ = left_open(verdicts, last)
            lead = f"nothing fails{upto}" + (f", but {open_}" if open_ else "")
        else:
            lead = ""
        after = ""
        if reach.beyond is not None and reach.stops is not None:
            at = "" if own else f"at {words.percent(a.results.made[reach.beyond].strength)} "
            after = f"{at}{told(reach.stops)}"
        lines.append(f"{title}: {'; '.join(part for part in (lead, after) if part)}.")
    return lines


def _control(a: Analysis) -> list[str]:
    """What fine-tuning alone did, so that it is not mistaken for pruning."""
    if a.control is None:
        return []
    moved = [
        moves(key, c)
        for key in a.keys
        if (c := a.against_dense[key.metric].get(a.control)) is not None and c.direction != "same"
    ]
    compared = any(a.control in a.against_dense[key.metric] for key in a.keys)
    if not compared:
        return []
    if not moved:
        return [f"Fine-tuning alone ({words.shown(a.control, 60)}) shows no difference from dense."]
    return [
        f"Fine-tuning alone ({words.shown(a.control, 60)}) changes the model too: {words.listing(moved)}; "
        "that part is not the work of pruning."
    ]


def _preflight(results: Results) -> list[str]:
    """What the models' answers on known examples looked like before any attack, where it looked wrong."""
    lines = []
    if left := results.about.get("preflight", {}).get("left_out", ()):
        told = words.shown("; ".join(map(str, left)), 600)
        lines.append(f"The plan was cut to a budget of time. Left out: {told}.")
    for finding in results.about.get("preflight", {}).get("findings", ()):
        whose = "" if finding["model"] == "dense" else f" of {words.shown(finding['model'], 60)}"
        lead = "The plan accepts what preflight refuses" if finding["accepted"] else "Preflight warned"
        lines.append(
            f"{lead}{whose}: {words.shown(finding['what'], 300)} ({words.shown(finding['name'], 40)}). "
            f"Likely cause: {words.shown(finding['cause'], 300)}."
        )
    return lines


def _cautions(a: Analysis, verdicts: Verdicts) -> list[str]:
    results, state = a.results, a.results.completeness
    found = [f"{words.shown(remark[:1].upper() + remark[1:], 300)}." for remark in verdicts.remarks]
    found += _preflight(results)
    if results.about.get("subject", {}).get("black_box"):
        found.append(
            "The model was given as a black box: nothing could climb its own gradients, so that its robust "
            "accuracy may flatter it more than that of a model given with its weights."
        )
    if count := verdicts.count("waived"):
        found.append(
            f"{words.counted(count, 'decision')} waived as of {verdicts.judged_on}: that is a signature, "
            "not a result."
        )
    if not state.complete:
        found.append(
            f"The run is incomplete: of {words.counted(state.planned, 'planned unit')} "
            f"{state.done:,} done, {state.failed:,} failed, {state.waiting:,} not run"
            f"{'; until all have run, no variant passes' if state.waiting else ''}."
        )
    for status, verb in (("failed", "failed"), ("refused", "refused")):
        count = state.rows.get(status, 0)
        if count:
            found.append(f"{words.counted(count, 'figure')} {verb}; the report lists them with the reason.")
    found += _collapse(a)
    unknown = {variant for (variant, _), one in healths(results).items() if one.unchecked}
    if unknown:
        found.append(
            f"Of {words.counted(len(unknown), 'variant')} the health of the attacks was not measured: their "
            "robust accuracy may flatter them, and does not pass."
        )
    if results.seeds == 1:
        found.append(
            "One training seed only: intervals cover the choice of test examples, not the luck of training, "
            "which is often the larger of the two."
        )
    pruned = results.names(pruned=True)
    if pruned and a.control is None and any(results.made[n].method != "checkpoint" for n in pruned):
        found.append(
            "There is no dense control fine-tuned for the same epochs: its effect counts as pruning’s here."
        )
    compared = sum(1 for by in a.against_dense.values() for c in by.values() if c.direction == "same")
    if compared:
        found.append(NOT_EQUAL)
    return found


def _collapse(a: Analysis) -> list[str]:
    level = chance(a.results)
    fallen = {n: c for n, c in a.collapsed.items() if n != "dense"}
    if not fallen or level is None:
        return []
    names = [
        f"{method_title(a.results, n)} ({words.number(c.accuracy, 'share')}"
        f"{'' if c.whole else f', {c.seeds} of {c.of} seeds'})"
        for n, c in fallen.items()
    ]
    if len(names) > MANY:
        names = [*names[:MANY], f"{len(names) - MANY} more"]
    verb = "has" if len(names) == 1 else "have"
    return [
        f"{words.listing(names)} {verb} collapsed towards chance ({words.number(level, 'share')}): "
        "robustness and leakage of such a model mean nothing."
    ]
