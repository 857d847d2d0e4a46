"""Tango's score test and interval for the difference of two paired proportions.

T. Tango, Equivalence test and confidence interval for the difference in proportions for the paired-sample
design, Statistics in Medicine 17 (1998). It holds its level at margins other than zero and in far tails,
where Wald's interval with added observations does not.
"""

import math


def score(gained: float, lost: float, n: float, delta: float) -> float:
    """Standard normal under a true difference of ``delta``; falls as ``delta`` rises.

    ``gained`` and ``lost`` count the pairs that only the new and only the old model gets right, of ``n``
    (n > 0, counts may be fractions where a design effect shrank them); ``delta`` in −1 … 1 is new minus old.
    The variance is that of the maximum-likelihood estimate under ``delta`` (Tango's eq. 3). Infinite where
    ``delta`` leaves no variance and the counts contradict it.
    """
    a = 2 * n
    b = -gained - lost + (2 * n - gained + lost) * delta
    c = -lost * delta * (1 - delta)
    only_old = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    variance = n * (2 * only_old + delta * (1 - delta))
    beyond = gained - lost - n * delta
    if variance <= 0:
        return math.copysign(math.inf, beyond) if beyond else 0.0
    return beyond / math.sqrt(variance)
