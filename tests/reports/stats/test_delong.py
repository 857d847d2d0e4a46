"""Differences of AUCs against scikit-learn and the definition."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from reports.stats.delong import auc_difference


def test_agrees_with_scikit_learn_and_with_delong_by_definition() -> None:
    rng = np.random.default_rng(0)
    member = np.arange(60) < 25
    new = np.round(rng.normal(size=60) + member, 1)  # rounded: ties
    old = np.round(0.6 * new + rng.normal(size=60), 1)
    found = auc_difference(new, old, member)
    assert found.value == pytest.approx(roc_auc_score(member, new) - roc_auc_score(member, old))
    assert found.n == 25

    def kernel(score: np.ndarray) -> np.ndarray:
        x, y = score[member][:, None], score[~member][None, :]
        return (x > y) + 0.5 * (x == y)

    table = kernel(new) - kernel(old)
    spread = np.sqrt(table.mean(1).var(ddof=1) / 25 + table.mean(0).var(ddof=1) / 35)
    assert found.score(0.1) == pytest.approx((found.value - 0.1) / spread)
    assert (found.low, found.high) == pytest.approx(stats.norm.interval(0.95, found.value, spread))
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(found.value) / spread))


def test_needs_two_of_each() -> None:
    with pytest.raises(ValueError, match="1 members"):
        auc_difference(np.arange(4.0), np.arange(4.0), np.array([True, False, False, False]))
