"""Turns per-example outcomes into the row that reports them."""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from attacks.intervals import proportion
from attacks.probe import Measurement


def rate(
    metric: str, hits: Tensor, outcome: str, at: Mapping[str, str | int | float], note: str = ""
) -> Measurement:
    """The share of ``hits`` (bool, (n,)) with the exact interval; the outcomes are kept under that name."""
    outcomes = hits.cpu().numpy().astype(np.bool_)
    if len(outcomes) == 0:
        return Measurement(metric, at=at, status="refused", note="there are no examples to measure on")
    estimate = proportion(int(outcomes.sum()), len(outcomes))
    return Measurement(
        metric,
        estimate.value,
        estimate.low,
        estimate.high,
        estimate.n,
        at,
        note=note,
        outcomes={outcome: outcomes},
    )
