"""What a finding says beyond its figures: how to reproduce it, and what would change the verdict."""

import math
from collections.abc import Iterator

from reports.data.key import method_title
from reports.data.results import Results
from reports.gate.judge import Decision
from reports.gate.status import limit_words
from reports.language import words
from reports.language.metrics import metric as about_metric

MOST_DATA = 100
"""More than this many times the data is not worth advising."""


def reproduce(results: Results, decision: Decision) -> Iterator[tuple[str, str]]:
    """Command, variant, seed and hashes of the figure that decided."""
    about = results.about
    if about.get("command"):
        yield "Command", words.shown(about["command"], 500)
    seed = _seed(results, decision)
    yield (
        "Figure",
        ", ".join(
            filter(
                None,
                (
                    words.shown(decision.variant),
                    decision.rule.metric,
                    words.conditions(decision.at or {}),
                    "" if seed is None else f"seed {seed}",
                ),
            )
        ),
    )
    made = results.variants[results.variants["variant"] == decision.variant]
    if seed is not None:
        made = made[made["seed"] == seed]
    if len(made) and made.iloc[0]["digest"]:
        yield "Weights (SHA-256)", words.shown(made.iloc[0]["digest"])
    yield "Plan", words.shown(about["plan_digest"])


def _seed(results: Results, decision: Decision) -> int | None:
    """The replicate whose figure decided."""
    if decision.value is None:
        return None
    if decision.change is not None:
        pairs = zip(decision.change.seeds, decision.change.each, strict=True)
        return next((s for s, d in pairs if math.isclose(abs(d.value), abs(decision.value))), None)
    rows = results.select(decision.rule.metric, decision.at, variant=decision.variant)
    rows = rows[rows["value"] == decision.value]
    return int(rows.iloc[0]["seed"]) if len(rows) else None


def verdict_changes(results: Results, decisions: list[Decision]) -> Iterator[str]:
    """What would have to be otherwise, in three sentences at most. ``decisions``: one rule's, worst first."""
    worst = decisions[0]
    if worst.value is None:
        yield f"A figure: {words.shown(worst.reason, 300)}."
    failed = [d for d in decisions if d.status == "fail" and d.value is not None]
    if failed:
        yield _better(results, min(failed, key=_gap), len(failed))
    open_ = [d for d in decisions if d.status == "inconclusive"]
    if open_:
        yield _decided(results, min(open_, key=_data))
    series = results.made[worst.variant].series if worst.variant in results.made else ""
    passing = [
        d.variant
        for d in decisions
        if d.status == "pass" and d.variant in results.made and results.made[d.variant].series == series
    ]
    if passing:
        mild = max(passing, key=lambda name: results.made[name].achieved_sparsity or 0.0)
        yield f"Less of the same pruning: {method_title(results, mild)} meets this requirement."


def _gap(decision: Decision) -> float:
    """How far the far end of the interval lies beyond the limit."""
    end = decision.low if decision.rule.kind == "min" else decision.high
    return abs((decision.value if end is None else end) - decision.limit)  # type: ignore[operator]


def _data(decision: Decision) -> float:
    """How many times the examples would decide a straddling interval, its figure staying; infinite if none.

    The half-width falls with the root of n: it must shrink from the half that crosses the limit to the
    distance of the figure from it.
    """
    value, low, high = decision.value, decision.low, decision.high
    if (
        value is None
        or low is None
        or high is None
        or value == decision.limit
        or not low <= decision.limit <= high
    ):
        return math.inf
    half = value - low if value > decision.limit else high - value
    return (half / (value - decision.limit)) ** 2


def _better(results: Results, decision: Decision, failed: int) -> str:
    """What the variant nearest to passing lacks."""
    size = words.change(_gap(decision), about_metric(decision.rule.metric).unit).removeprefix("+")
    name = method_title(results, decision.variant)
    lead = f"{name} would pass" if failed == 1 else f"{name}, of those that fail the nearest, would pass"
    return f"{lead} if it were better by {size}: its whole interval would be {limit_words(decision.rule)}."


def _decided(results: Results, decision: Decision) -> str:
    """How much more data would decide the variant that needs least, or what else stands in the way."""
    name, times = method_title(results, decision.variant), _data(decision)
    if not math.isfinite(times) or decision.value is None or not decision.n:
        return f"{name} is not decided: {words.shown(decision.reason.rpartition('; ')[2], 300)}."
    if times > MOST_DATA:
        return f"{name} lies so close to the limit that more data would hardly decide it."
    worse = (decision.value > decision.limit) == (decision.rule.kind != "min")
    return (
        f"More examples: {name} would {'fail' if worse else 'meet'} the requirement, its figure staying as "
        f"it is, with about {times:.1f} times as many (now n = {decision.n:,})."
    )
