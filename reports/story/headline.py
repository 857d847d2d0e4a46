"""The headline: what to ship, what it saves and costs, and what breaks first beyond it."""

from collections.abc import Iterator

from reports.data.key import Key, method_title
from reports.gate.judge import Verdicts
from reports.gate.status import gravity, name_of, subject, told
from reports.language import words
from reports.language.metrics import metric as about_metric
from reports.stats.compare import Comparison
from reports.story import savings
from reports.story.analysis import Analysis, word_on
from reports.story.reach import MET, Reach, reaches, shown_variant, worst


def policy_name(verdicts: Verdicts) -> str:
    """``the policy “standard”``; ``the policy “standard” without its rule extraction-rise``."""
    left = verdicts.unasked
    without = (
        f" without its {'rule' if len(left) == 1 else 'rules'} {words.listing(list(left))}" if left else ""
    )
    return f"the policy “{words.shown(verdicts.policy.name, 60)}”{without}"


def headline(a: Analysis, verdicts: Verdicts) -> list[str]:
    """The first sentences of page and terminal, the answer first."""
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
    found = list(_answer(a, verdicts))
    shown = shown_variant(a, verdicts)
    if shown is not None and (too := _dense_too(verdicts, shown)):
        found.insert(1, too)
    if shown is not None and verdicts.on(shown) != "fail" and (open_ := left_open(verdicts, shown)):
        found.append(f"For {method_title(results, shown)}, {open_}.")
    if shown is not None:
        found += at_variant(a, shown)
    return found


def _alone(a: Analysis, verdicts: Verdicts) -> str:
    figures = _figures_of(a, "dense")
    lead = (
        f"No pruned version was measured; the model as it is has {figures}"
        if figures
        else ("No pruned version was measured, and the model as it is has no figure")
    )
    stops = worst(verdicts, "dense")
    crashed = _crashed(verdicts, "dense")
    if crashed and (stops is None or stops.status not in ("fail", "not_run")):
        return f"{lead}. {crashed}: it is not shown to meet {policy_name(verdicts)}."
    if stops is None:
        whole = verdicts.applied == len(verdicts.policy.rules)
        part = "" if whole else f", of which {verdicts.applied_words} to it"
        said = {
            "pass": f"and meets {policy_name(verdicts)}{part}",
            "not_applicable": f"and no rule of {policy_name(verdicts)} is for it: it is not judged",
        }.get(verdicts.on("dense"), "but the run is not finished: it is not shown to meet any policy")
        return f"{lead}, {said}."
    verb = {
        "fail": "It fails",
        "not_run": "It is not fully measured for",
        "waived": "By waivers alone it is let through by",
    }.get(stops.status, "It is not shown to meet")
    return f"{lead}. {verb} {policy_name(verdicts)}: {told(stops)}."


def _crashed(verdicts: Verdicts, variant: str) -> str:
    """What was planned of a variant, crashed, and is spoken of by no rule: ``Extraction crashed``."""
    probes = [probe for name, probe in verdicts.crashed if name == variant]
    return f"{words.listing(probes).capitalize()} crashed" if probes else ""


DOUBTED = "since attacks show signs of failure or were not checked"
NOTABLE = 0.005
"""By how much a variant is sparser in figures shown as whole per cent."""


def _answer(a: Analysis, verdicts: Verdicts) -> Iterator[str]:
    """What to ship and what it saves and costs, or why nothing; then what breaks first beyond it."""
    found, policy = reaches(a.results, verdicts), policy_name(verdicts)
    met, let, unbroken = (
        {name: reach for reach in found if (name := getattr(reach, kind)) is not None}
        for kind in ("meets", "waived", "unbroken")
    )
    if met:
        best = max(met, key=lambda name: savings.worth(a.results, name))
        yield (
            f"Ship {method_title(a.results, best)}, which meets {policy}: "
            f"{savings.told(a.results, best)}; {_losses(a, best)}."
        )
        beyond = _beyond(a, met[best])
        yield f"{beyond[:1].upper()}{beyond[1:]}."
        yield from _sparser(a, best, list(met))
    elif let:
        best = max(let, key=lambda name: savings.worth(a.results, name))
        lead = f"No pruned version meets {policy}: do not ship on these figures"
        yield (
            f"{lead}; waivers alone let {method_title(a.results, best)} through ({waivers(verdicts, best)})."
        )
    elif unbroken:
        best = max(unbroken, key=lambda name: savings.worth(a.results, name))
        lead = f"Do not ship yet: no pruned version is shown to meet {policy}"
        title = method_title(a.results, best)
        chosen = len(unbroken) > 1 and savings.worth(a.results, best)[0] > 0
        stands = (
            f"of those that fail nothing, {title} saves most" if chosen else f"nothing fails up to {title}"
        )
        yield f"{lead}; {stands}, and {_beyond(a, unbroken[best])}."
    elif not any("fail" in (d.status, d.judged) for d in verdicts.decisions):
        yield f"Do not ship yet: no pruned version was measured for what {policy} asks."
    else:
        pruned = a.results.names(pruned=True)
        broken = [n for n in pruned if any("fail" in (d.status, d.judged) for d in verdicts.of(n).decisions)]
        mildest = min(broken, key=lambda name: a.results.made[name].achieved_sparsity or 0.0)
        stops = worst(verdicts, mildest)
        many = "each breaks" if len(broken) == len(pruned) else f"{len(broken)} of {len(pruned)} break"
        why = f": {told(stops)}" if stops is not None else ""
        title = method_title(a.results, mildest)
        yield f"Do not ship any pruned version: {many} {policy}, even {title}, the mildest of them{why}."


def _dense_too(verdicts: Verdicts, shown: str) -> str:
    """Where a rule that keeps the variant from passing is not met by dense either: no pruning is to blame."""
    mine = {d.rule.id for d in verdicts.decisions if d.variant == shown and d.status not in MET}
    dense = worst(verdicts, "dense")
    if dense is None or dense.rule.id not in mine:
        return ""
    verb = {
        "fail": "fails the policy",
        "not_run": "is not fully measured for the policy",
        "waived": "is let through by waivers alone",
    }.get(dense.status, "is not shown to meet the policy")
    return f"Dense itself {verb}: {told(dense)}."


def _sparser(a: Analysis, best: str, met: list[str]) -> Iterator[str]:
    """Why the sparsest that meets the policy is not the one to ship, where it is another."""
    sparsest = max(met, key=lambda name: a.results.made[name].achieved_sparsity or 0.0)
    if sparsest != best:
        title = method_title(a.results, sparsest)
        gained = (a.results.made[sparsest].achieved_sparsity or 0.0) - (
            a.results.made[best].achieved_sparsity or 0.0
        )
        sparse = "sparser" if gained >= NOTABLE else "as sparse"
        yield f"{title} is {sparse} and meets the policy too, but {savings.told(a.results, sparsest)}."


def _losses(a: Analysis, name: str) -> str:
    """``it costs 1.2 points of clean accuracy``: what is worse than dense, told apart from it or leaning."""
    lost, unknown = [], []
    for key in a.keys:
        one = a.against_dense[key.metric].get(name)
        if one is not None and word_on(a, key, one, one.direction) == "in doubt":
            unknown.append(key.label)
        elif one is not None and "worse" in (one.direction, one.leans):
            loss, where = _loss(one)
            change = words.change(loss, about_metric(key.metric).unit).removeprefix("+")
            lost.append(
                f"{change} of {key.label}{where}{'' if one.direction == 'worse' else ' (uncorrected)'}"
            )
    said = f"it costs {words.listing(lost)}" if lost else "no loss against dense is shown"
    return f"{said}; nothing is known of {words.listing(unknown)}, {DOUBTED}" if unknown else said


def _loss(one: Comparison) -> tuple[float, str]:
    """How much worse, on average over seeds; where the average hides a bad seed, in that one."""
    sign = -1 if about_metric(one.metric).worse == "lower" else 1
    mean = sign * one.pooled.value
    return (mean, "") if mean > 0 else (max(sign * d.value for d in one.each), " in the worst seed")


def left_open(verdicts: Verdicts, variant: str) -> str:
    """What keeps a variant from meeting the policy without failing it, worst first; empty if nothing does."""
    mine = sorted(verdicts.of(variant).decisions, key=gravity)
    crashed = _crashed(verdicts, variant)
    parts = [f"{crashed[:1].lower()}{crashed[1:]}"] if crashed else []
    for status, said in (("inconclusive", "not decided"), ("not_run", "not measured"), ("waived", "waived")):
        names = dict.fromkeys(name_of(d.rule.metric) for d in mine if d.status == status)
        if names:
            parts.append(f"{said}: {words.listing(list(names))}")
    return "; ".join(parts)


def waivers(verdicts: Verdicts, variant: str) -> str:
    """What is waived of a variant and until when: ``robust accuracy until 2027-01-31``."""
    waived = [d for d in verdicts.of(variant).decisions if d.waiver is not None]
    names = words.listing(list(dict.fromkeys(name_of(d.rule.metric) for d in waived)))
    first = min(d.waiver.expires for d in waived if d.waiver is not None)
    return f"{names}, until {first}; judged on {verdicts.judged_on}"


def _beyond(a: Analysis, reach: Reach) -> str:
    """What happens at the next stronger variant of a method."""
    if reach.beyond is None:
        return "nothing stronger was tried by this method"
    at = words.percent(a.results.made[reach.beyond].strength)
    if reach.stops is None:
        return f"beyond it, at {at}, not all that was planned was measured"
    verb = {"fail": "breaks first", "not_run": "was not measured", "waived": "is waived"}.get(
        reach.stops.status, "is no longer decided"
    )
    return f"beyond it, at {at}, {subject(reach.stops)} {verb}"


def at_variant(a: Analysis, name: str) -> list[str]:
    """What happened at one variant against dense, in one sentence; paired differences."""
    moved: list[str] = []
    leaning: list[str] = []
    still: list[str] = []
    unknown: list[str] = []
    for key in a.keys:
        comparison = a.against_dense[key.metric].get(name)
        if comparison is None:
            continue
        if word_on(a, key, comparison, comparison.direction) == "in doubt":
            unknown.append(key.label)
        elif comparison.direction != "same":
            moved.append(moves(key, comparison))
        elif comparison.leans != "same":
            leaning.append(moves(key, comparison))
        else:
            still.append(key.label)
    parts = [words.listing(moved)] if moved else []
    if leaning:
        verb = "is" if len(leaning) == 1 else "are"
        parts.append(
            f"{words.listing(leaning)}, which {verb} not told apart from chance once corrected for the "
            "number of variants"
        )
    if still:
        parts.append(f"no difference can be shown in {words.listing(still)}")
    if unknown:
        parts.append(f"nothing is known of {words.listing(unknown)}, {DOUBTED}")
    if not parts:
        return []
    lead = f"{method_title(a.results, name)} against dense, on average over seeds"
    if a.results.seeds == 1:
        lead = lead.removesuffix(", on average over seeds")
    return [f"{lead}: {'; '.join(parts)}."]


def moves(key: Key, comparison: Comparison) -> str:
    """``robust accuracy at ε = 0.1 falls by 6.2 points (95% interval −9.1 to −3.3)``."""
    unit = about_metric(key.metric).unit
    size = words.change(abs(comparison.pooled.value), unit).removeprefix("+")
    verb = "falls" if comparison.pooled.value < 0 else "rises"
    low, high = comparison.pooled.low, comparison.pooled.high
    hidden = comparison.direction == "worse" and _loss(comparison)[1]
    bad = ", but one seed is worse" if hidden else ""
    return f"{key.label} {verb} by {size} (95% interval {words.change_span(low, high, unit)}){bad}"


def _figures_of(a: Analysis, name: str) -> str:
    found = []
    for key in a.keys:
        value = a.value(key.metric, name)
        if value is not None:
            found.append(f"{key.label} {words.number(value, about_metric(key.metric).unit)}")
    return words.listing(found)
