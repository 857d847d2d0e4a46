"""These models: the mean difference over models that were measured on the same examples.

The models are given, the examples are random. An example's differences stay together: models that share hard
examples know less than as many independent ones.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reports.stats import tango
from reports.stats.delong import from_arms
from reports.stats.difference import Difference, gaussian
from reports.stats.signflip import signflip


def these_models(each: Sequence[Difference]) -> Difference:
    """The mean of the models' differences, for new examples; one model's is its own.

    A rate: Tango's score on counts shrunk by the design effect (:func:`_rate`), and the exact sign-flip test
    at zero. An AUC: its own test on the contributions' means. Where models were measured on different
    numbers of examples, they are taken to tell no more than one of them. Raises ValueError on none.
    """
    if not each:
        raise ValueError("nothing to pool")
    if len(each) == 1:
        return each[0]
    if len({tuple(len(part) for part in d.parts) for d in each}) > 1:
        return _apart(each)
    if len(each[0].parts) == 1:
        return _rate(np.stack([d.parts[0] for d in each]))
    new, old = (
        tuple(np.mean(group, axis=0) for group in zip(*(d.arms[side] for d in each), strict=True))
        for side in (0, 1)
    )
    return from_arms(new, old)


def _rate(cells: NDArray[np.float64]) -> Difference:
    """Mean of a table (models, examples) of −1, 0, 1.

    All models' pairs are counted together, and the counts divided by the design effect: the variance of the
    mean with examples as clusters over that of as many independent pairs, between 1 and the number of models
    (Rao & Scott, A simple method for the analysis of clustered binary data, Biometrics 48, 1992; for Tango's
    interval Yang, Sun & Hardin, Pharmaceutical Statistics 11, 2012). One model's is Tango's own.
    """
    k, n = cells.shape
    gained, lost = int((cells > 0).sum()), int((cells < 0).sum())
    mean = (gained - lost) / (k * n)
    apart = (gained + lost) / (k * n) - mean**2
    together = k * float(cells.mean(axis=0).var())
    effect = min(max(together / apart, 1.0), float(k)) if apart > 0 else float(k)
    counts = gained / effect, lost / effect, k * n / effect
    return Difference(
        mean,
        n,
        lambda delta: tango.score(*counts, delta),
        signflip(cells.sum(axis=0).astype(int)),
    )


def _apart(each: Sequence[Difference]) -> Difference:
    """Models on other examples each: their mean, no surer than the mean of their own scores."""
    value = float(np.mean([d.value for d in each]))
    half = float(np.mean([(d.high - d.low) / 2 for d in each]))
    return Difference(value, min(d.n for d in each), gaussian(value, (half / 1.96) ** 2))
