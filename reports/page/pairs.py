"""Variant against variant: paired differences of two pruned models, worked out before anyone picks them."""

from collections.abc import Mapping, Sequence
from itertools import combinations

from reports.data.key import method_title
from reports.data.results import Results
from reports.draw.chart import Cell, Table
from reports.draw.plots import numbers
from reports.page.tables import differences_of
from reports.stats.compare import Comparison, compare_pairs
from reports.story.analysis import Analysis

MOST = 500
"""More pairs are not on a page: then those of one method or one sparsity are; if they are more, none."""
CAPTION = "The first minus the second on the same examples (95% interval)"

Pair = tuple[str, str]


def every(results: Results) -> list[Pair]:
    """All pairs of pruned variants, the later in the run's order first."""
    return [(b, a) for a, b in combinations(results.names(pruned=True), 2)]


def pairs(results: Results) -> list[Pair]:
    """Those of them that a page compares."""
    made, whole = results.made, every(results)
    near = [
        (b, a) for b, a in whole if made[a].method == made[b].method or made[a].strength == made[b].strength
    ]
    return next((chosen for chosen in (whole, near) if len(chosen) <= MOST), [])


def pair_title(results: Results, pair: Pair) -> str:
    """``filter-l2 at 90% minus filter-l2 at 50%``."""
    first, second = (method_title(results, name) for name in pair)
    return f"{first} minus {second}"


def row_numbers(results: Results, chosen: Sequence[Pair]) -> dict[str, str]:
    """The numbers of a pair's two variants by the header of its row."""
    known = numbers(results)
    return {pair_title(results, pair): " ".join(str(known[name]) for name in pair) for pair in chosen}


def pairs_table(analysis: Analysis, chosen: Sequence[Pair]) -> Table | None:
    """One row a pair, a column a key figure; None if no pair can be compared.

    Words and intervals are of these models, and words corrected for all the pairs.
    """
    return _table(analysis, chosen, {k.metric: _compared(analysis, chosen, k.metric) for k in analysis.keys})


def two(analysis: Analysis, pair: Pair) -> Table | None:
    """The row of two variants that someone picked, in the words of the page; None if they cannot be compared.

    A pair that the page leaves out is corrected for all pairs of pruned variants. Dense, or its control,
    comes second.
    """
    results, chosen = analysis.results, pairs(analysis.results)
    for reference, by in (
        ("dense", analysis.against_dense),
        (analysis.control, analysis.against_control),
    ):
        if reference in pair:
            pair = (pair[0] if pair[1] == reference else pair[1], reference)
            known = {m: {pair: of[pair[0]]} if pair[0] in of else {} for m, of in by.items()}
            return _table(analysis, [pair], known)
    pair = pair if pair in every(results) else (pair[1], pair[0])
    asked = chosen if pair in chosen else [pair]
    return _table(analysis, [pair], {k.metric: _compared(analysis, asked, k.metric) for k in analysis.keys})


def left_out(results: Results, chosen: Sequence[Pair]) -> str:
    """Which pairs a page does not have, and the command that does; empty if it has all."""
    if len(chosen) == len(every(results)):
        return ""
    many = len(results.names(pruned=True))
    which = "Here are pairs of one method or one sparsity" if chosen else f"{many} models are too many pairs"
    return f"{which}; prune-audit compare RUN --pair FIRST SECOND has any two."


def _compared(analysis: Analysis, chosen: Sequence[Pair], metric: str) -> dict[Pair, Comparison]:
    at = next(key.at for key in analysis.keys if key.metric == metric)
    among = len(every(analysis.results)) if len(chosen) == 1 else 0
    return compare_pairs(analysis.results, chosen, metric, at, among)


def _table(
    analysis: Analysis, shown: Sequence[Pair], compared: Mapping[str, Mapping[Pair, Comparison]]
) -> Table | None:
    rows = []
    for pair in shown:
        if any(pair in by for by in compared.values()):
            cells = differences_of(analysis, {metric: by.get(pair) for metric, by in compared.items()})
            rows.append((Cell(pair_title(analysis.results, pair)), *cells))
    heads = ("Pair", *(key.label[0].upper() + key.label[1:] for key in analysis.keys))
    return Table(CAPTION, heads, tuple(rows)) if rows else None
