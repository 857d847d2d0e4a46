"""Where a curve that is flat at first begins to fall: a segmented fit with a bootstrap interval."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 999
GRID = 60
"""Places tried for the knee, from the first to the last but one."""


@dataclass(frozen=True, slots=True)
class Knee:
    """``at``: where the curve turns, with a 95% interval; ``slope``: its change for each unit beyond.

    ``gain``: the share of the squared distances from a straight line that the knee explains.
    """

    at: float
    low: float
    high: float
    slope: float
    gain: float


def knee(x: NDArray[np.float64], curves: NDArray[np.float64], seed: int = 0) -> Knee | None:
    """The knee of y = a + c·max(0, x − k), fitted to the mean of ``curves`` (seeds, len(x)).

    Least squares over a grid of k (Muggeo, Statistics in Medicine 22, 2003, has the model); the interval by
    drawing whole curves with replacement (the percentiles), since the points of one seed hang together. None
    with fewer than four places or two curves: a flat part, a knee and a fall cannot be told apart then.
    """
    if len(x) < 4 or len(curves) < 2:
        return None
    order = np.argsort(x)
    x, curves = x[order], curves[:, order]
    grid = np.linspace(x[0], x[-2], GRID)
    rise = np.maximum(0.0, x - grid[:, None])
    rise = rise - rise.mean(axis=1, keepdims=True)
    drawn = np.random.default_rng(seed).integers(0, len(curves), (DRAWS, len(curves)))
    means = np.vstack([curves.mean(axis=0), curves[drawn].mean(axis=1)])
    centred = means - means.mean(axis=1, keepdims=True)
    power = (rise**2).sum(axis=1)
    product = centred @ rise.T
    best = np.argmax(product**2 / power, axis=1)
    low, high = np.quantile(grid[best[1:]], [0.025, 0.975])
    first = int(best[0])
    explained = float(product[0, first] ** 2 / power[first])
    straight = x - x.mean()
    left = float(centred[0] @ centred[0] - (centred[0] @ straight) ** 2 / (straight @ straight))
    bent = max(0.0, float(centred[0] @ centred[0]) - explained)
    gain = 0.0 if left <= 0 else 1 - bent / left
    return Knee(float(grid[first]), float(low), float(high), float(product[0, first] / power[first]), gain)
