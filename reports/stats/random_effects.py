"""Several studies' estimates as draws from a population of studies: their mean, spread and prediction."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from reports.stats.difference import LEVEL
from reports.stats.student import Estimate

_LEAST = 1e-12
"""A study's variance is never taken as smaller, so that exact figures (sizes) weigh alike."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The population's mean; ``tau2``: the variance between studies; ``q``: Cochran's heterogeneity, about
    χ² with one degree less than there are studies where they agree."""

    mean: Estimate
    tau2: float
    q: float
    shares: tuple[float, ...]
    """The studies' weights, which sum to 1."""

    @property
    def studies(self) -> int:
        """How many there are."""
        return len(self.shares)

    @property
    def prediction(self) -> tuple[float, float] | None:
        """Where another study's own effect lies with 95% (Higgins, Thompson & Spiegelhalter, J. R. Stat.
        Soc. A 172, 2009); None with fewer than three studies."""
        if self.studies < 3:
            return None
        t = float(special.stdtrit(self.studies - 2, 0.5 + LEVEL / 2))
        half = t * math.sqrt(self.tau2 + self.mean.spread**2)
        return self.mean.value - half, self.mean.value + half


def random_effects(values: Sequence[float], variances: Sequence[float]) -> Summary:
    """The random-effects summary of at least two independent estimates with their variances.

    τ² by Paule & Mandel (J. Res. Natl. Bur. Stand. 87, 1982); the mean's interval by Hartung & Knapp
    (Statistics in Medicine 20, 2001), never narrower than without their factor (Röver, Knapp & Friede, BMC
    Med. Res. Methodol. 15, 2015), so that few studies that agree by luck are not taken for certainty. Raises
    ValueError with fewer than two.
    """
    if len(values) < 2 or len(values) != len(variances):
        raise ValueError(f"a summary needs two estimates with their variances: {len(values)} given")
    y, v = np.asarray(values, dtype=float), np.maximum(np.asarray(variances, dtype=float), _LEAST)
    degrees = len(y) - 1
    tau2 = 0.0
    if _q(y, v, 0.0) > degrees:
        most = float(y.var(ddof=1)) * len(y)
        tau2 = float(optimize.brentq(lambda t: _q(y, v, t) - degrees, 0.0, most, xtol=1e-14, rtol=1e-12))
    weights = 1 / (v + tau2)
    mean = float(weights @ y / weights.sum())
    shares = tuple(float(w) for w in weights / weights.sum())
    factor = max(1.0, _q(y, v, tau2) / degrees)
    spread = math.sqrt(factor / float(weights.sum()))
    return Summary(Estimate(mean, spread, degrees), tau2, _q(y, v, 0.0), shares)


def _q(y: NDArray[np.float64], v: NDArray[np.float64], tau2: float) -> float:
    """Cochran's Q with τ² added to every variance."""
    weights = 1 / (v + tau2)
    return float(weights @ (y - weights @ y / weights.sum()) ** 2)
