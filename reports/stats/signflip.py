"""The exact sign-flip test: is new no different from old, where which is which says nothing?"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special


def signflip(sums: NDArray[np.integer]) -> tuple[float, float]:
    """p-values (no fall, no rise) of whole-number differences (n,), one an example, new minus old.

    If the two models are interchangeable, every difference is as likely with the other sign. The sum's
    distribution over all 2ⁿ signs is exact: examples whose differences have the same size j add j times a
    binomial, and the sizes are convolved (Fisher, The Design of Experiments, 1935, §21). Summed over seeds
    first, an example's models flip together, so that seeds that share hard examples count no twice. With one
    seed this is McNemar's exact test.

    The first is the chance of a sum as low as the observed one, the second of one as high.
    """
    sizes, counts = np.unique(np.abs(sums[sums != 0]), return_counts=True)
    if not len(sizes):
        return 1.0, 1.0
    # law[i]: the chance that the differences that keep a plus sign come to i.
    law = np.ones(1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        spaced = np.zeros(size * count + 1)
        spaced[::size] = _fair_coins(count)
        law = np.convolve(law, spaced)
    positive = int(sums[sums > 0].sum())
    return _total(law[: positive + 1]), _total(law[positive:])


def _fair_coins(count: int) -> NDArray[np.float64]:
    """Binomial(count, ½) at 0 … count."""
    k = np.arange(count + 1)
    log = special.gammaln(count + 1) - special.gammaln(k + 1) - special.gammaln(count - k + 1)
    law: NDArray[np.float64] = np.exp(log - count * np.log(2))
    return law


def _total(chances: Sequence[float] | NDArray[np.float64]) -> float:
    return min(1.0, float(np.sum(chances)))
