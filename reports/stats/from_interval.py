"""A p-value, or another level, from a figure whose 95% interval is all that is known of it."""

import math

from scipy import special

from reports.stats.difference import TAIL

_Z = float(special.ndtri(1 - TAIL))


def beyond(value: float, end: float, limit: float, *, share: bool) -> float:
    """p-value of the claim that the true figure lies on ``value``'s side of ``limit``.

    ``end``: the end of its 95% interval that faces the limit. Altman & Bland, How to obtain the P value from
    a confidence interval, BMJ 343 (2011), on the logit scale for a ``share`` (0 … 1), where Wilson's interval
    and that of an AUC are symmetric (Newcombe, Logit confidence intervals and the inverse sinh
    transformation, The American Statistician 55, 2001). 1 where there is no interval.
    """
    if not math.isfinite(end) or end == value:
        return 1.0
    if share and all(0 < figure < 1 for figure in (value, end, limit)):
        value, end, limit = (float(special.logit(figure)) for figure in (value, end, limit))
    return float(special.ndtr(-_Z * (value - limit) / (value - end)))


def moved(value: float, end: float, tail: float, *, share: bool) -> float:
    """Where that end lies if it may be wrong with probability ``tail`` in place of 2.5%."""
    if not math.isfinite(end):
        return end
    factor = float(special.ndtri(1 - tail)) / _Z
    if share and 0 < value < 1 and 0 < end < 1:
        centre, outer = float(special.logit(value)), float(special.logit(end))
        return float(special.expit(centre + (outer - centre) * factor))
    found = value + (end - value) * factor
    return min(max(found, 0.0), 1.0) if share else found
