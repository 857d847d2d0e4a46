"""Rules on a change: each seed against the same seed of dense, or of a baseline run, on the same examples."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scipy import special

from reports.data.ledger import canonical
from reports.data.results import Results
from reports.gate.policy import Rule
from reports.gate.rows import Found, Gap, Reading, agrees
from reports.language.words import shown
from reports.stats import paired
from reports.stats.compare import Comparison, compare_all

TAIL = (1 - paired.LEVEL) / 2
"""What a claim from one end of a 95% interval may be wrong by."""
_Z = float(special.ndtri(1 - TAIL))


@dataclass(frozen=True, slots=True)
class Changes:
    """What a comparative rule finds of one variant; ``holds`` and ``broken`` are corrected p-values (Holm).

    ``holds``: of the claim that every seed keeps the margin; ``broken``: that some seed does not. Corrected
    for the number of variants under the rule.
    """

    found: Found
    comparisons: Mapping[str, Comparison]
    """The pooled change by its conditions (canonical JSON)."""
    holds: float = 1.0
    broken: float = 1.0


def changes(
    results: Results, rule: Rule, found: Mapping[str, Found], baseline: Results | None
) -> dict[str, Changes]:
    """Each variant's drop or rise in place of its figures. Gaps of the variant's own rows are kept."""
    settings = {canonical(r.at): r.at for one in found.values() for r in one.readings}
    names, tables = list(found), {}
    for name, at in settings.items():
        tables[name] = compare_all(results, names, rule.metric, at, baseline=baseline)
    reference = results if baseline is None else baseline
    made = {}
    for variant in names:
        other = "dense" if baseline is None else variant
        pairs = {key: table[variant] for key, table in tables.items() if variant in table}
        made[variant] = _of(reference, rule, found[variant], other, pairs)
    holds = paired.holm([_holds(rule, c.found.readings) for c in made.values()])
    broken = paired.holm([_broken(rule, c.found.readings) for c in made.values()])
    return {
        name: replace(change, holds=p, broken=q)
        for (name, change), p, q in zip(made.items(), holds, broken, strict=True)
    }


def _of(reference: Results, rule: Rule, found: Found, other: str, pairs: Mapping[str, Comparison]) -> Changes:
    rows = reference.select(rule.metric, variant=other).to_dict("records")
    readings, gaps = [], list(found.gaps)
    for reading in found.readings:
        change = _paired(rule, reading, pairs.get(canonical(reading.at)))
        if change is None:
            change = _exact(rule, reading, rows)
        if change is not None:
            readings.append(change)
        elif _row(rows, reading) is None:
            gaps.append(
                Gap("not_run", f"{shown(other, 60)} has no figure to compare seed {reading.seed} with")
            )
        else:
            text = f"seed {reading.seed} has no evidence that pairs with that of {shown(other, 60)}"
            gaps.append(Gap("inconclusive", text))
    return Changes(Found(tuple(readings), tuple(gaps)), pairs)


def _paired(rule: Rule, reading: Reading, comparison: Comparison | None) -> Reading | None:
    if comparison is None or reading.seed not in comparison.seeds:
        return None
    each = comparison.each[comparison.seeds.index(reading.seed)]
    low, high = (each.low, each.high) if rule.kind == "max_rise" else (-each.high, -each.low)
    value = each.value if rule.kind == "max_rise" else -each.value
    return Reading(reading.seed, reading.at, value, low, high, each.n, math.sqrt(each.variance))


def _exact(rule: Rule, reading: Reading, rows: Sequence[Mapping[Any, Any]]) -> Reading | None:
    """The change of a figure that is counted, not sampled: its interval is a point on both sides."""
    row = _row(rows, reading)
    if row is None or reading.low != reading.high or row["low"] != row["high"]:
        return None
    sign = 1 if rule.kind == "max_rise" else -1
    value = sign * (reading.value - row["value"])
    return Reading(reading.seed, reading.at, value, value, value, reading.n, 0.0)


def _row(rows: Sequence[Mapping[Any, Any]], reading: Reading) -> Mapping[Any, Any] | None:
    """The reference's row of the same conditions and seed, or its only seed's."""
    same = [row for row in rows if agrees(row["conditions"], reading.at)]
    ours = [row for row in same if row["seed"] == reading.seed]
    if ours:
        return ours[0]
    return same[0] if len({row["seed"] for row in same}) == 1 else None


def _holds(rule: Rule, readings: Sequence[Reading]) -> float:
    """p-value of the claim that every figure keeps the limit: all must, so the largest of theirs."""
    return max((_tail(rule.limit - reading.high, reading.error) for reading in readings), default=1.0)


def _broken(rule: Rule, readings: Sequence[Reading]) -> float:
    """p-value of the claim that some figure breaks the limit: the smallest, times their number."""
    found = [_tail(reading.low - rule.limit, reading.error) for reading in readings]
    return min(1.0, len(found) * min(found)) if found else 1.0


def _tail(beyond: float, error: float | None) -> float:
    """One-sided p-value where an end of a 95% interval lies ``beyond`` the limit on the claimed side."""
    if not error:
        return 0.0 if beyond >= 0 else 1.0
    return float(special.ndtr(-(beyond / error + _Z)))
