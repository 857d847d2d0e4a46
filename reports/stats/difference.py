"""A difference of two models with its tests: at every margin, at every level."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import special

LEVEL = 0.95
TAIL = (1 - LEVEL) / 2
"""What a claim from one end of a 95% interval may be wrong by."""


_FAR = 40.0
"""A score beyond this is as good as infinite."""
_CLOSE = 1e-9


@dataclass(frozen=True, eq=False)
class Difference:
    """New minus old, a share or an AUC, in −1 … 1.

    ``score(δ)`` is about standard normal if the true difference is δ, and falls as δ rises: intervals and
    p-values at every margin are read from it, so that they agree. ``zero``: exact p-values at δ = 0 where
    there are such: of the claims that new is lower, and that it is higher.

    ``parts``: per-example contributions, one array per group of examples (one for a rate; members and
    non-members for an AUC): what seeds have in common is seen there.
    """

    value: float
    n: int
    score: Callable[[float], float]
    zero: tuple[float, float] = (0.0, 0.0)
    parts: tuple[NDArray[np.float64], ...] = ()
    arms: tuple[tuple[NDArray[np.float64], ...], ...] = ()
    """The same of new and of old, of which ``parts`` are the differences; only of an AUC."""

    def below(self, margin: float) -> float:
        """p-value of the claim that the true difference is below ``margin``."""
        p = float(special.ndtr(self.score(margin)))
        return max(p, self.zero[0]) if margin <= 0 else p

    def above(self, margin: float) -> float:
        """p-value of the claim that the true difference is above ``margin``."""
        p = float(special.ndtr(-self.score(margin)))
        return max(p, self.zero[1]) if margin >= 0 else p

    @property
    def p(self) -> float:
        """Two-sided p-value for no difference."""
        return min(1.0, 2 * min(self.below(0.0), self.above(0.0)))

    @cached_property
    def low(self) -> float:
        """Low end of the 95% interval."""
        return self.end(TAIL, upper=False)

    @cached_property
    def high(self) -> float:
        """High end of the 95% interval."""
        return self.end(TAIL, upper=True)

    def end(self, tail: float, *, upper: bool) -> float:
        """The end of the interval that the true difference lies beyond with probability ``tail``, in −1 … 1.

        By false position and bisection in turn, since the score falls; never on the wrong side of the value.
        """
        z = float(special.ndtri(1 - tail)) * (-1 if upper else 1)
        low, high = (self.value, 1.0) if upper else (-1.0, self.value)
        above, below = (max(-_FAR, min(_FAR, self.score(at) - z)) for at in (low, high))
        for step in range(60):
            if high - low < _CLOSE:
                break
            between = (low * below - high * above) / (below - above) if step % 2 and below < above else 0.0
            middle = between if low < between < high else (low + high) / 2
            found = max(-_FAR, min(_FAR, self.score(middle) - z))
            if found > 0:
                low, above = middle, found
            else:
                high, below = middle, found
            if abs(found) < _CLOSE:
                return middle
        return high if upper else low


def gaussian(value: float, variance: float) -> Callable[[float], float]:
    """The score of an estimate that is about normal; of one without variance, infinite beside it."""
    if variance > 0:
        spread = math.sqrt(variance)
        return lambda delta: (value - delta) / spread
    return lambda delta: math.copysign(math.inf, value - delta) if value != delta else 0.0
