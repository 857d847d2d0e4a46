"""How many examples a claim needs, if the truth is what was seen."""

import math

from scipy import special

POWER = 0.8
"""The probability with which a claim that is true should be shown."""


def needed(
    value: float, end: float, limit: float, n: int, *, level: float, tail: float, claims: int, share: bool
) -> float:
    """Examples that show, with probability :data:`POWER`, that a true figure ``value`` keeps to its side of
    ``limit``.

    ``end``: the end of its interval that faces the limit, wrong with probability ``level``, from ``n``
    examples; ``tail``: what the claim may be wrong by, corrections included; ``claims``: figures that must
    all be shown so, taken as independent and as near to the limit as this one, which asks for too many
    examples rather than too few. The standard error falls with the root of n (the normal approximation of
    every sample-size formula: Machin et al., Sample Size Tables for Clinical Studies, 2009, ch. 1); on the
    logit scale for a ``share``. Infinite where no number would do.
    """
    if share and all(0 < figure < 1 for figure in (value, end, limit)):
        value, end, limit = (float(special.logit(figure)) for figure in (value, end, limit))
    if value == limit:
        return math.inf
    error = abs(end - value) / float(special.ndtri(1 - level))
    z = float(special.ndtri(1 - tail) + special.ndtri(POWER ** (1 / claims)))
    return n * (z * error / abs(limit - value)) ** 2
