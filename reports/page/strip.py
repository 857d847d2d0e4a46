"""The strip under the matrix: can the figures be believed, how many, how long, and of exactly what."""

from dataclasses import dataclass
from datetime import datetime

from reports.data import health
from reports.data.results import Results
from reports.gate.judge import Verdicts
from reports.gate.status import MARKS, Mark
from reports.language import words

SHORT = 12
"""Digits of a hash that the strip shows; the whole is under How to reproduce."""


@dataclass(frozen=True, slots=True)
class Item:
    """One fact; ``mark`` where it is good or bad news."""

    label: str
    text: str
    mark: Mark | None = None
    code: bool = False


def strip(results: Results, verdicts: Verdicts, variant: str | None) -> list[Item]:
    """Attack health, examples, planned against run, duration, hashes."""
    state, subject = results.completeness, results.about.get("subject", {})
    run = f"{state.done:,} of {state.planned:,} units done"
    if state.failed:
        run += f", {state.failed:,} failed"
    if state.waiting:
        run += f", {state.waiting:,} not run"
    items = [
        _health(results),
        Item("Examples", _examples(results)),
        Item("Planned and run", run, MARKS["pass"] if state.complete else MARKS["not_run"]),
        Item("Duration", _duration(results)),
        Item("Plan", words.shown(results.about["plan_digest"])[:SHORT], code=True),
        Item("Policy", verdicts.policy.digest[:SHORT] or words.DASH, code=True),
    ]
    if "data_digest" in subject:
        items.append(Item("Data", words.shown(subject["data_digest"])[:SHORT], code=True))
    digests = results.variants.loc[results.variants["variant"] == (variant or "dense"), "digest"].dropna()
    if len(digests):
        items.append(Item("Weights shown", words.shown(digests.iloc[0])[:SHORT], code=True))
    return items


def _health(results: Results) -> Item:
    found = health.healths(results).values()
    if not found:
        return Item("Attack health", "not checked in this run", MARKS["not_run"])
    raised, unknown = any(one.raised for one in found), any(one.unchecked for one in found)
    mark = MARKS["inconclusive" if raised else "not_run" if unknown else "pass"]
    return Item("Attack health", health.told(results), mark)


def _examples(results: Results) -> str:
    """The number of examples behind the figures of attacks, fewest to most."""
    rows = results.measurements
    counted = (rows["status"] == "ok") & (rows["probe"] != "cost") & (rows["metric"] != health.METRIC)
    counts = rows.loc[counted, "n"].dropna()
    if counts.empty:
        return "none"
    low, high = int(counts.min()), int(counts.max())
    per = words.counted(results.seeds, "seed")
    return f"n = {low:,}{f'–{high:,}' if high != low else ''} a figure, {per}"


def _duration(results: Results) -> str:
    """From the start to the last unit, and the computing time of all units together."""
    seconds = float(results.units["seconds"].dropna().sum())
    text = f"{elapsed(seconds)} of computing"
    try:
        start = datetime.fromisoformat(str(results.about["started"]))
        end = max(datetime.fromisoformat(str(t)) for t in results.units["finished"].dropna() if t)
        whole = (end - start).total_seconds()
    except (KeyError, ValueError, TypeError):
        return text
    return f"{elapsed(whole)}, {text}" if whole >= 0 else text


def times(results: Results) -> dict[str, str]:
    """Where the computing time went: by kind of work, longest first, how long, in how many pieces, and the
    longest of them."""
    spent = results.units.dropna(subset=["seconds"]).groupby("kind")["seconds"].agg(["sum", "count", "max"])
    return {
        str(kind): f"{elapsed(row['sum'])} in {words.counted(int(row['count']), 'unit')}, the longest "
        f"{elapsed(row['max'])}"
        for kind, row in spent.sort_values("sum", ascending=False).iterrows()
    }


def elapsed(seconds: float) -> str:
    """``2 min 56 s``, ``3 h 4 min``, ``0.8 s``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return f"{minutes // 60:,} h {minutes % 60} min"
