"""What pruning did, in sentences: a pure function of the results."""

from dataclasses import dataclass

from reports import words
from reports.analysis import KEEPS, Analysis, analyse
from reports.compare import Comparison
from reports.key import Key, chance, method_title
from reports.metrics import metric as about_metric
from reports.results import Results

MANY = 6
"""More names than this are not listed one by one in a sentence."""


@dataclass(frozen=True, slots=True)
class Summary:
    """``headline``: the answer; ``findings``: what stands beside it; ``cautions``: what limits it."""

    headline: tuple[str, ...]
    findings: tuple[str, ...]
    cautions: tuple[str, ...]


def sentences(results: Results) -> list[str]:
    """Every sentence of the summary, most important first."""
    summary = summarise(analyse(results))
    return [*summary.headline, *summary.findings, *summary.cautions]


def summarise(analysis: Analysis) -> Summary:
    """Say what can be said of this run, and what cannot."""
    return Summary(tuple(_headline(analysis)), tuple(_findings(analysis)), tuple(_cautions(analysis)))


def _headline(a: Analysis) -> list[str]:
    results, dense = a.results, a.value("accuracy", "dense")
    pruned = results.names(pruned=True)
    if results.measurements.empty:
        return ["Nothing has been measured yet."]
    if dense is None:
        return ["The dense model has no clean accuracy here, so nothing can be said about what pruning did."]
    if "dense" in a.collapsed:
        return [
            f"The dense model itself is near chance (clean accuracy {words.number(dense, 'share')}): "
            "robustness and leakage of it, and of anything pruned from it, mean nothing."
        ]
    if not pruned:
        return [f"No pruned version was measured: the model as it is has {_figures_of(a, 'dense')}."]
    if a.telling is None:
        return ["No pruned version has a clean accuracy, so nothing can be said about what pruning did."]
    return _telling(a, a.telling, dense)


def _telling(a: Analysis, name: str, dense: float) -> list[str]:
    title = method_title(a.results, name)
    ours = a.value("accuracy", name) or 0.0
    accuracy = f"{words.number(dense, 'share')} → {words.number(ours, 'share')}"
    margin = f"{100 * KEEPS:.0f} points"
    if a.keeps(name):
        kept = f"keeps clean accuracy within {margin} of dense ({accuracy})"
        first = f"{title} is the strongest pruning that {kept}."
    elif name in a.collapsed:
        return [
            f"Every pruned version loses more than {margin} of clean accuracy, and the best, {title}, has "
            f"collapsed ({accuracy}): robustness and leakage of a model near chance mean nothing."
        ]
    else:
        closest = f"{title} comes closest ({accuracy})"
        first = f"No pruned version keeps clean accuracy within {margin} of dense; {closest}."
    return [first, *_at(a, name)]


def _at(a: Analysis, name: str) -> list[str]:
    """What happened at the telling variant to everything but clean accuracy, in one sentence."""
    moved: list[str] = []
    still: list[str] = []
    for key in a.keys:
        comparison = a.against_dense[key.metric].get(name)
        if key.family == "accuracy" or comparison is None:
            continue
        if comparison.direction == "same":
            still.append(f"{key.label} ({_interval(key, comparison)})")
        else:
            moved.append(moves(key, comparison))
    parts = []
    if moved:
        parts.append(words.listing(moved))
    if still:
        which = "cannot be told from dense’s" if moved else "Against dense, no difference can be shown in"
        parts.append(f"{words.listing(still)} {which}" if moved else f"{which} {words.listing(still)}")
    if not parts:
        return ["It could not be compared with dense under attack: no attack was measured on both."]
    return [("There, " if moved else "") + "; ".join(parts) + "."]


def moves(key: Key, comparison: Comparison) -> str:
    """``robust accuracy at ε = 0.1 falls by 6.2 points (95% interval −9.1 to −3.3)``."""
    unit = about_metric(key.metric).unit
    size = words.change(abs(comparison.pooled.value), unit).removeprefix("+")
    verb = "falls" if comparison.pooled.value < 0 else "rises"
    low, high = comparison.pooled.low, comparison.pooled.high
    return f"{key.label} {verb} by {size} (95% interval {words.change_span(low, high, unit)})"


def _interval(key: Key, comparison: Comparison) -> str:
    unit, pooled = about_metric(key.metric).unit, comparison.pooled
    span = words.change_span(pooled.low, pooled.high, unit)
    corrected = ", not shown once corrected for the number of variants" if comparison.leans != "same" else ""
    return f"{words.change(pooled.value, unit)}, 95% interval {span}{corrected}"


def _figures_of(a: Analysis, name: str) -> str:
    found = []
    for key in a.keys:
        value = a.value(key.metric, name)
        if value is not None:
            found.append(f"{key.label} {words.number(value, about_metric(key.metric).unit)}")
    return words.listing(found)


def _findings(a: Analysis) -> list[str]:
    if "dense" in a.collapsed or a.value("accuracy", "dense") is None:
        return []
    return [*_breaks(a), *_control(a)]


def _breaks(a: Analysis) -> list[str]:
    """Per method, by rising sparsity: up to where nothing is shown to be worse, and what breaks first."""
    methods: dict[str, list[str]] = {}
    for name in a.results.names(pruned=True):
        methods.setdefault(a.results.made[name].series, []).append(name)
    return [line for method, names in methods.items() if (line := _first_break(a, method, names)) is not None]


def _first_break(a: Analysis, method: str, names: list[str]) -> str | None:
    title = words.shown(method, 60)
    compared = [n for n in names if any(n in a.against_dense[key.metric] for key in a.keys)]
    if not compared:
        return None
    before = ""
    for name in compared:
        at = "" if name == method else words.percent(a.results.made[name].strength)
        worse = [
            moves(key, c)
            for key in a.keys
            if (c := a.against_dense[key.metric].get(name)) is not None and c.direction == "worse"
        ]
        fallen = a.collapsed.get(name)
        if fallen is not None and fallen.whole:
            worse = [f"the model collapses (clean accuracy {words.number(fallen.accuracy, 'share')})"]
        if worse:
            lead = f"nothing is shown to be worse than dense up to {before}; " if before else ""
            where = f"at {at} " if at else ""
            return f"{title}: {lead}{where}{words.listing(worse)}."
        before = at
    return f"{title}: nothing measured is shown to be worse than dense{f' up to {before}' if before else ''}."


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


def _cautions(a: Analysis) -> list[str]:
    results, state = a.results, a.results.completeness
    found = []
    if not state.complete:
        found.append(
            f"The run is incomplete: of {words.counted(state.planned, 'planned unit')} "
            f"{state.done:,} done, {state.failed:,} failed, {state.waiting:,} not run."
        )
    for status, verb in (("failed", "failed"), ("refused", "refused for lack of data")):
        count = state.rows.get(status, 0)
        if count:
            found.append(f"{words.counted(count, 'figure')} {verb}; the report lists them with the reason.")
    found += _collapse(a)
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
