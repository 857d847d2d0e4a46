"""The difference of two rates on the same examples."""

import numpy as np
from numpy.typing import NDArray

from reports.stats import tango
from reports.stats.difference import Difference
from reports.stats.signflip import signflip


def rate_difference(new: NDArray[np.bool_], old: NDArray[np.bool_]) -> Difference:
    """Difference of two rates over the same n examples (bool arrays (n,), n ≥ 1).

    Tango's score (:mod:`reports.stats.tango`); at zero McNemar's exact test. Raises ValueError if the lengths
    differ or are 0.
    """
    if new.shape != old.shape or new.ndim != 1 or not len(new):
        raise ValueError(f"not pairs: {new.shape} against {old.shape}")
    each = new.astype(int) - old.astype(int)
    return counted(int((each > 0).sum()), int((each < 0).sum()), len(each), each.astype(float))


def counted(gained: int, lost: int, n: int, each: NDArray[np.float64]) -> Difference:
    """The same from the counts of pairs that only new, and only old, gets right."""
    signs = np.repeat([1, -1], [gained, lost])
    return Difference(
        (gained - lost) / n,
        n,
        lambda delta: tango.score(gained, lost, n, delta),
        signflip(signs),
        (each,),
    )
