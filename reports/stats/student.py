"""An estimate that follows Student's law around the truth: p-values and intervals at every margin."""

import math
from dataclasses import dataclass

from scipy import special

from reports.stats.difference import LEVEL


@dataclass(frozen=True, slots=True)
class Estimate:
    """``value`` with its standard error ``spread`` and ``freedom`` degrees of freedom.

    Without spread (a size on disk) it is the truth; without freedom nothing can be said of it.
    """

    value: float
    spread: float
    freedom: float

    @property
    def known(self) -> bool:
        """Whether anything is known of how far it may lie from the truth."""
        return self.freedom > 0 or self.spread == 0

    def below(self, margin: float) -> float:
        """p-value of the claim that the truth is below ``margin``."""
        return self._p(self.value - margin)

    def above(self, margin: float) -> float:
        """p-value of the claim that the truth is above ``margin``."""
        return self._p(margin - self.value)

    def ends(self, level: float = LEVEL) -> tuple[float, float]:
        """The interval that misses the truth with probability 1 − ``level``."""
        if self.spread == 0:
            return self.value, self.value
        if not self.known:
            return -math.inf, math.inf
        half = float(special.stdtrit(self.freedom, 0.5 + level / 2)) * self.spread
        return self.value - half, self.value + half

    def _p(self, distance: float) -> float:
        if self.spread == 0:
            return 0.0 if distance < 0 else 1.0
        if not self.known:
            return 1.0
        return float(special.stdtr(self.freedom, distance / self.spread))
