"""What a finding says beyond its figures: how to reproduce it, and what would change the verdict."""

import math
from collections.abc import Iterator

from reports.data.key import method_title
from reports.data.results import Results
from reports.gate.judge import Decision
from reports.gate.status import limit_words
from reports.language import words
from reports.language.metrics import metric as about_metric
from reports.stats.difference import TAIL
from reports.stats.power import POWER, needed

MOST_DATA = 100
"""More than this many times the data is not worth advising."""


def reproduce(results: Results, decision: Decision) -> Iterator[tuple[str, str]]:
    """Command, variant, seed and hashes of the figure that decided."""
    about = results.about
    if about.get("command"):
        yield "Command", words.shown(about["command"], 500)
    seed = decision.seed
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
        examples = {d.variant: _needed(results, d, decisions) for d in open_}
        nearest = min(open_, key=lambda d: examples[d.variant])
        yield _decided(results, nearest, examples[nearest.variant])
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


def _needed(results: Results, decision: Decision, decisions: list[Decision]) -> float:
    """Examples that would decide an open figure with 80% probability, were it the true one; infinite if none.

    By the test that the gate uses: a pass is corrected for the methods under the rule (and needs every seed),
    a failure for the variants.
    """
    value, low, high = decision.value, decision.low, decision.high
    if value is None or low is None or high is None or not decision.n:
        return math.inf
    rule = decision.rule
    passes = _passes(decision)
    tested = [d.variant for d in decisions if d.low is not None]
    methods = {results.made[name].series if name in results.made else name for name in tested}
    return needed(
        value, high if value < rule.limit else low, rule.limit, decision.n,
        level=TAIL, tail=TAIL / len(methods if passes else tested), claims=decision.seeds if passes else 1,
        share=about_metric(rule.metric).unit in ("share", "auc") and not rule.compares,
    )  # fmt: skip


def _passes(decision: Decision) -> bool:
    """Whether the figure itself keeps the limit, whatever its interval says."""
    value = math.nan if decision.value is None else decision.value
    return value >= decision.limit if decision.rule.kind == "min" else value <= decision.limit


def _better(results: Results, decision: Decision, failed: int) -> str:
    """What the variant nearest to passing lacks."""
    size = words.change(_gap(decision), about_metric(decision.rule.metric).unit).removeprefix("+")
    name = method_title(results, decision.variant)
    lead = f"{name} would pass" if failed == 1 else f"{name}, of those that fail the nearest, would pass"
    return f"{lead} if it were better by {size}: its whole interval would be {limit_words(decision.rule)}."


def _decided(results: Results, decision: Decision, examples: float) -> str:
    """How much more data would decide the variant that needs least, or what else stands in the way."""
    name = method_title(results, decision.variant)
    if not decision.n or not decision.n < examples < math.inf:
        return f"{name} is not decided: {words.shown(decision.reason.rpartition('; ')[2], 300)}."
    if examples > MOST_DATA * decision.n:
        return f"{name} lies so close to the limit that more data would hardly decide it."
    place = 10 ** max(0, math.floor(math.log10(examples)) - 1)
    return (
        f"More examples: were its figure the true one, {name} would "
        f"{'meet' if _passes(decision) else 'fail'} the requirement with a probability of {POWER:.0%} at "
        f"about n = {math.ceil(examples / place) * place:,} (now n = {decision.n:,})."
    )
