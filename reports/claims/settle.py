"""What would settle a claim that is inconclusive: how many seeds and examples, or how many more subjects."""

import math

from scipy import special

from reports.claims.pool import Pooled
from reports.language.words import counted
from reports.stats.difference import TAIL
from reports.stats.power import POWER

MOST = 100
"""How many times as much is still worth saying."""


def settling(whole: Pooled, tail: float = TAIL) -> str:
    """How much more would settle it, if the effect is what was seen: a sentence.

    ``tail``: the one-sided p-value that a verdict needs, corrections included. With t + z standard errors
    between effect and limit a claim is shown with probability 80%; standard errors fall with the root of the
    number of seeds and examples together, or of subjects where these differ more than their seeds do.
    """
    effect = whole.effect
    seeds = max(len(cell.each) for cell in whole.cells)
    if not effect.known:
        return f"With {counted(seeds, 'seed')} nothing is known of a retraining: at least 3 are needed."
    gap = min(abs(effect.value - limit) for limit in whole.facet.region.limits)
    subjects = len(whole.subjects)
    between = whole.summary is not None and whole.summary.tau2 > effect.spread**2 * subjects / 2
    many = _times(effect.spread, gap, subjects if between else seeds, tail)
    if many is None:
        return "The effect lies at the limit itself: no number of seeds that is worth trying would settle it."
    if between:
        return (
            f"If the effect is what was seen, about {counted(many, 'subject')} (data set × network) would "
            "settle it: subjects differ more than their seeds do."
        )
    n = _examples(whole)
    examples = f" and {math.ceil(n * many / seeds):,} examples" if n else ""
    return (
        f"If the effect is what was seen, about {counted(many, 'seed')}{examples} for each subject would "
        f"settle it; it has {seeds}{f' and {n:,}' if n else ''}."
    )


def _times(spread: float, gap: float, count: int, tail: float) -> int | None:
    """The least count with which a gap is shown with 80%; None where more than :data:`MOST` times as many."""
    for many in range(max(count, 2) + 1, MOST * count + 1):
        wanted = float(special.stdtrit(many - 1, 1 - tail) + special.ndtri(POWER))
        if wanted * spread * math.sqrt(count / many) <= gap:
            return many
    return None


def _examples(whole: Pooled) -> int:
    sizes = [len(part) for cell in whole.cells for one in cell.each.values() for part in one.parts]
    return min(sizes, default=0)
