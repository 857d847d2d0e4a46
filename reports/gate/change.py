"""Rules on a change: each seed against the same seed of dense, or of a baseline run, on the same examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.data.ledger import canonical
from reports.data.results import Results
from reports.gate.policy import Rule
from reports.gate.rows import Found, Gap, Reading, agrees
from reports.gate.weigh import Weighed, weigh, worst
from reports.language.words import shown
from reports.stats.cluster import these_models
from reports.stats.compare import Comparison, breaks, compare_all, keeps, worst_span
from reports.stats.difference import TAIL


@dataclass(frozen=True, slots=True)
class Changes:
    """What a comparative rule finds of one variant: its drops or rises in place of its figures."""

    found: Found
    comparisons: Mapping[str, Comparison]
    """The comparison of these models by its conditions (canonical JSON)."""
    weighed: Weighed | None
    """None where nothing could be compared."""

    def shown(self, rule: Rule) -> float:
        """p-value that the variant is worse at all, at the conditions that decide.

        As page and exports have it: what does not differ from its reference cannot break a margin.
        """
        if self.weighed is None:
            return 1.0
        comparison = self.comparisons.get(canonical(self.weighed.reading.at))
        if comparison is None:  # counted, not sampled
            return 0.0
        return comparison.risen if rule.kind == "max_rise" else comparison.fallen


def changes(
    results: Results, rule: Rule, found: Mapping[str, Found], baseline: Results | None
) -> dict[str, Changes]:
    """Each variant's drop or rise in place of its figures. Gaps of the variant's own rows are kept."""
    settings = {canonical(r.at): r.at for one in found.values() for r in one.readings}
    names, tables = list(found), {}
    for key, at in settings.items():
        tables[key] = compare_all(results, names, rule.metric, at, baseline=baseline)
    reference = results if baseline is None else baseline
    made = {}
    for variant in names:
        other = "dense" if baseline is None else variant
        pairs = {key: table[variant] for key, table in tables.items() if variant in table}
        made[variant] = _of(reference, rule, found[variant], other, pairs)
    return made


def _of(reference: Results, rule: Rule, found: Found, other: str, pairs: Mapping[str, Comparison]) -> Changes:
    paired: dict[str, list[Reading]] = {}
    alone, counted, gaps = [], [], list(found.gaps)
    for reading in found.readings:
        key = canonical(reading.at)
        if key in pairs and reading.seed in pairs[key].seeds:
            paired.setdefault(key, []).append(reading)
        else:
            alone.append(reading)
    rows = reference.select(rule.metric, variant=other).to_dict("records") if alone else []
    for reading in alone:
        if (change := _counted(rule, reading, rows)) is not None:
            counted.append(change)
        elif _row(rows, reading) is None:
            gaps.append(
                Gap("not_run", f"{shown(other, 60)} has no figure to compare seed {reading.seed} with")
            )
        else:
            text = f"seed {reading.seed} has no evidence that pairs with that of {shown(other, 60)}"
            gaps.append(Gap("inconclusive", text))
    groups = len(paired) + bool(counted)
    parts = [_weigh(rule, pairs[key], readings, TAIL / groups) for key, readings in paired.items()]
    if counted:
        parts.append(weigh(rule, counted, TAIL / groups))
    readings = (*(r for group in paired.values() for r in group), *counted)
    return Changes(Found(readings, tuple(gaps)), pairs, worst(parts, upper=True) if parts else None)


def _weigh(rule: Rule, comparison: Comparison, readings: Sequence[Reading], tail: float) -> Weighed:
    """One set of conditions: the models that may ship, against their reference."""
    rise, margin = rule.kind == "max_rise", rule.limit
    each = tuple(comparison.each[comparison.seeds.index(r.seed)] for r in readings)
    pooled = comparison.pooled if len(each) == len(comparison.each) else these_models(each)
    place = max(range(len(each)), key=lambda i: each[i].value * (1 if rise else -1))
    value = each[place].value if rise else -each[place].value
    low, high = worst_span(each, pooled, rise=rise, tail=tail)
    reading = Reading(readings[place].seed, readings[place].at, value, low, high, min(d.n for d in each))
    return Weighed(reading, keeps(each, margin, rise=rise), breaks(each, pooled, margin, rise=rise))


def _counted(rule: Rule, reading: Reading, rows: Sequence[Mapping[Any, Any]]) -> Reading | None:
    """The change of a figure that is counted, not sampled: its interval is a point on both sides."""
    row = _row(rows, reading)
    if row is None or reading.low != reading.high or row["low"] != row["high"]:
        return None
    sign = 1 if rule.kind == "max_rise" else -1
    value = sign * (reading.value - row["value"])
    return Reading(reading.seed, reading.at, value, value, value, reading.n)


def _row(rows: Sequence[Mapping[Any, Any]], reading: Reading) -> Mapping[Any, Any] | None:
    """The reference's row of the same conditions and seed, or its only seed's."""
    same = [row for row in rows if agrees(row["conditions"], reading.at)]
    ours = [row for row in same if row["seed"] == reading.seed]
    if ours:
        return ours[0]
    return same[0] if len({row["seed"] for row in same}) == 1 else None
