"""What a pruned model really saves: work and time as it runs, and bytes as it is sent."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from reports.data.aggregate import Figure, figures
from reports.data.results import Results
from reports.language import words

AS_RUN = {"macs": "the multiply–accumulates", "latency": "the latency"}
STORED = {"compressed_bytes": "the compressed size", "bytes": "the size on disk"}
"""The first of these that was measured counts."""
SAME = 1.05
"""Costs within this factor are the same: latencies are no more certain than that."""


@dataclass(frozen=True, slots=True)
class Saving:
    """One cost of a variant beside dense's."""

    metric: str
    title: str
    dense: Figure
    ours: Figure
    share: float
    """Ours of dense's: below 1 is a saving."""

    @property
    def same(self) -> bool:
        """Whether it costs what dense costs."""
        return 1 / SAME < self.share < SAME


def as_run(results: Results, variant: str) -> list[Saving]:
    """Work and time of one pass, where both models have a figure. Zeros are not skipped."""
    return [saving for name, title in AS_RUN.items() for saving in _saving(results, variant, name, title)]


def stored(results: Results, variant: str) -> list[Saving]:
    """Bytes without the zeros, else on disk; empty where neither was measured."""
    found = [saving for name, title in STORED.items() for saving in _saving(results, variant, name, title)]
    return found[:1]


def _saving(results: Results, variant: str, metric: str, title: str) -> Iterator[Saving]:
    by = figures(results, metric, {})
    dense, ours = by.get("dense"), by.get(variant)
    if dense is not None and ours is not None and dense.value and ours.value:
        yield Saving(metric, title, dense, ours, ours.value / dense.value)


def worth(results: Results, variant: str) -> tuple[float, float, float]:
    """Sorting key, most saved last: as it runs (geometric mean), then in bytes, then by sparsity."""
    running, size = (
        [0.0 if one.same else -math.log(one.share) for one in found]
        for found in (as_run(results, variant), stored(results, variant))
    )
    made = results.made[variant]
    return (sum(running) / len(running) if running else 0.0, sum(size), made.achieved_sparsity or 0.0)


def told(results: Results, variant: str) -> str:
    """``it saves 50% of the multiply–accumulates``, that it saves nothing, or that nobody looked."""
    running, size = as_run(results, variant), stored(results, variant)
    if not running and not size:
        return "what it saves was not measured"
    less = [one for one in (*running, *size) if one.share < 1 and not one.same]
    more = [one for one in (*running, *size) if one.share > 1 and not one.same]
    parts = [f"saves {words.listing([_part(one) for one in less])}"] if less else []
    if running and all(one.same for one in running):
        parts.append("runs no faster: " + words.listing([one.title for one in running]) + " stay dense’s")
    if more:
        parts.append(f"takes {words.listing([_part(one) for one in more])} more")
    return f"it {'; it '.join(parts) or 'saves nothing that was measured'}"


def _part(one: Saving) -> str:
    return f"{words.percent(round(abs(1 - one.share), 2))} of {one.title}"
