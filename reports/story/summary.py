"""What pruning did, in sentences: a pure function of the results."""

from dataclasses import dataclass

from reports.data.health import healths
from reports.data.key import Key, chance, method_title
from reports.data.results import Results
from reports.gate.judge import Verdicts, judge
from reports.gate.policy import DEFAULT, preset
from reports.gate.status import gravity, name_of, subject, told
from reports.language import words
from reports.language.metrics import metric as about_metric
from reports.stats.compare import Comparison
from reports.story.analysis import Analysis, analyse
from reports.story.reach import Reach, reaches, shown_variant, worst

MANY = 6
"""More names than this are not listed one by one in a sentence."""


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
    return Summary(tuple(_headline(analysis, verdicts)), methods, tuple(_cautions(analysis, verdicts)))


def policy_name(verdicts: Verdicts) -> str:
    """``the policy “standard”``."""
    return f"the policy “{words.shown(verdicts.policy.name, 60)}”"


def _headline(a: Analysis, verdicts: Verdicts) -> list[str]:
    results, dense = a.results, a.value("accuracy", "dense")
    if results.measurements.empty:
        return ["Nothing has been measured yet."]
    if "dense" in a.collapsed and dense is not None:
        return [
            f"The dense model itself is near chance (clean accuracy {words.number(dense, 'share')}): "
            "robustness and leakage of it, and of anything pruned from it, mean nothing."
        ]
    if not results.names(pruned=True):
        return [_alone(a, verdicts)]
    if dense is None:
        return ["The dense model has no clean accuracy here, so nothing can be said about what pruning did."]
    found = [_answer(a, verdicts)]
    shown = shown_variant(a, verdicts)
    if shown is not None and (open_ := _open(verdicts, shown)):
        found.append(f"For {method_title(results, shown)}, {open_}.")
    if shown is not None and dense is not None:
        found += _at(a, shown, dense)
    return found


def _alone(a: Analysis, verdicts: Verdicts) -> str:
    figures = _figures_of(a, "dense")
    lead = (
        f"No pruned version was measured; the model as it is has {figures}"
        if figures
        else ("No pruned version was measured, and the model as it is has no figure")
    )
    stops = worst(verdicts, "dense")
    if stops is None:
        return f"{lead}, and meets {policy_name(verdicts)}."
    verb = {
        "fail": "It fails",
        "not_run": "It is not fully measured for",
        "waived": "By waivers alone it is let through by",
    }.get(stops.status, "It is not shown to meet")
    return f"{lead}. {verb} {policy_name(verdicts)}: {told(stops)}."


def _answer(a: Analysis, verdicts: Verdicts) -> str:
    """The strongest pruning that meets the policy, and what breaks first beyond it."""
    found, policy = reaches(a.results, verdicts), policy_name(verdicts)
    strength = {name: a.results.made[name].achieved_sparsity or 0.0 for name in a.results.made}
    met = [reach for reach in found if reach.meets is not None]
    if met:
        best = max(met, key=lambda reach: strength[reach.meets or ""])
        title = method_title(a.results, best.meets or "")
        return f"{title} is the strongest pruning that meets {policy}; {_beyond(a, best)}."
    let = [reach for reach in found if reach.waived is not None]
    if let:
        best = max(let, key=lambda reach: strength[reach.waived or ""])
        title = method_title(a.results, best.waived or "")
        lead = f"No pruned version meets {policy}"
        return f"{lead}; waivers alone let {title} through ({_waivers(verdicts, best.waived or '')})."
    unbroken = [reach for reach in found if reach.unbroken is not None]
    if unbroken:
        best = max(unbroken, key=lambda reach: strength[reach.unbroken or ""])
        title = method_title(a.results, best.unbroken or "")
        lead = f"No pruned version is shown to meet {policy}"
        return f"{lead}; nothing fails up to {title}, and {_beyond(a, best)}."
    if not any(d.status == "fail" for d in verdicts.decisions):
        return f"No pruned version was measured for what {policy} asks."
    mildest = min(found, key=lambda reach: strength[reach.variants[0]])
    why = f": {told(mildest.stops)}" if mildest.stops is not None else ""
    return (
        f"Every pruned version fails {policy}, even {method_title(a.results, mildest.variants[0])}, the "
        f"mildest{why}."
    )


def _open(verdicts: Verdicts, variant: str) -> str:
    """What keeps a variant from meeting the policy without failing it, worst first; empty if nothing does."""
    mine = sorted(verdicts.of(variant).decisions, key=gravity)
    parts = []
    for status, said in (("inconclusive", "not decided"), ("not_run", "not measured"), ("waived", "waived")):
        names = dict.fromkeys(name_of(d.rule.metric) for d in mine if d.status == status)
        if names:
            parts.append(f"{said}: {words.listing(list(names))}")
    return "; ".join(parts)


def _waivers(verdicts: Verdicts, variant: str) -> str:
    """What is waived of a variant and until when: ``robust accuracy until 2027-01-31``."""
    waived = [d for d in verdicts.of(variant).decisions if d.waiver is not None]
    names = words.listing(list(dict.fromkeys(name_of(d.rule.metric) for d in waived)))
    first = min(d.waiver.expires for d in waived if d.waiver is not None)
    return f"{names}, until {first}; judged on {verdicts.judged_on}"


def _beyond(a: Analysis, reach: Reach) -> str:
    """What happens at the next stronger variant of a method."""
    if reach.beyond is None or reach.stops is None:
        return "nothing stronger was tried by this method"
    at = words.percent(a.results.made[reach.beyond].strength)
    verb = {"fail": "breaks first", "not_run": "was not measured", "waived": "is waived"}.get(
        reach.stops.status, "is no longer decided"
    )
    return f"beyond it, at {at}, {subject(reach.stops)} {verb}"


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
            lead = f"let through by waivers alone{upto} ({_waivers(verdicts, reach.waived)})"
        elif last is not None:
            open_ = _open(verdicts, last)
            lead = f"nothing fails{upto}" + (f", but {open_}" if open_ else "")
        else:
            lead = ""
        after = ""
        if reach.beyond is not None and reach.stops is not None:
            at = "" if own else f"at {words.percent(a.results.made[reach.beyond].strength)} "
            after = f"{at}{told(reach.stops)}"
        lines.append(f"{title}: {'; '.join(part for part in (lead, after) if part)}.")
    return lines


def _at(a: Analysis, name: str, dense: float) -> list[str]:
    """What happened at one variant against dense, in one sentence; paired differences."""
    moved: list[str] = []
    still: list[str] = []
    for key in a.keys:
        comparison = a.against_dense[key.metric].get(name)
        if comparison is None:
            continue
        if comparison.direction == "same":
            still.append(key.label)
        else:
            moved.append(moves(key, comparison))
    if not moved and not still:
        return []
    lead = f"{method_title(a.results, name)} against dense, on average over seeds"
    if a.results.seeds == 1:
        lead = lead.removesuffix(", on average over seeds")
    parts = [words.listing(moved)] if moved else []
    if still:
        unsure = any(a.against_dense[k.metric][name].leans != "same" for k in a.keys if k.label in still)
        corrected = " once corrected for the number of variants" if unsure else ""
        parts.append(f"no difference can be shown{corrected} in {words.listing(still)}")
    return [f"{lead}: {'; '.join(parts)}."]


def moves(key: Key, comparison: Comparison) -> str:
    """``robust accuracy at ε = 0.1 falls by 6.2 points (95% interval −9.1 to −3.3)``."""
    unit = about_metric(key.metric).unit
    size = words.change(abs(comparison.pooled.value), unit).removeprefix("+")
    verb = "falls" if comparison.pooled.value < 0 else "rises"
    low, high = comparison.pooled.low, comparison.pooled.high
    return f"{key.label} {verb} by {size} (95% interval {words.change_span(low, high, unit)})"


def _figures_of(a: Analysis, name: str) -> str:
    found = []
    for key in a.keys:
        value = a.value(key.metric, name)
        if value is not None:
            found.append(f"{key.label} {words.number(value, about_metric(key.metric).unit)}")
    return words.listing(found)


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


def _cautions(a: Analysis, verdicts: Verdicts) -> list[str]:
    results, state = a.results, a.results.completeness
    found = [f"{words.shown(remark[:1].upper() + remark[1:], 300)}." for remark in verdicts.remarks]
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
    for status, verb in (("failed", "failed"), ("refused", "refused for lack of data")):
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
        found.append(
            "Not shown to differ does not mean equal: the interval says how large a difference remains "
            "possible. “Shown” means a Holm-adjusted p-value below 0.05 among all variants."
        )
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
