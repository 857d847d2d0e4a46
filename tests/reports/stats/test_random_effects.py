"""The random-effects summary against published figures and closed forms."""

import numpy as np
import pytest
from scipy import stats

from reports.stats.random_effects import random_effects
from reports.stats.student import Estimate

BCG = np.array(
    [
        [4, 119, 11, 128], [6, 300, 29, 274], [3, 228, 11, 209], [62, 13536, 248, 12619],
        [33, 5036, 47, 5761], [180, 1361, 372, 1079], [8, 2537, 10, 619], [505, 87886, 499, 87892],
        [29, 7470, 45, 7232], [17, 1699, 65, 1600], [186, 50448, 141, 27197], [5, 2493, 3, 2338],
        [27, 16886, 29, 17825],
    ],
    dtype=float,
)  # fmt: skip
"""Tuberculosis with and without vaccination in 13 trials (Colditz et al. 1994), metafor's ``dat.bcg``."""


def test_the_bcg_trials_give_the_published_summary() -> None:
    a, b, c, d = BCG.T
    found = random_effects(np.log((a / (a + b)) / (c / (c + d))), 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d))
    # statsmodels 0.14, combine_effects(method_re="iterated", use_t=True); metafor's method="PM", test="knha".
    assert found.tau2 == pytest.approx(0.3180684522, rel=1e-6)
    assert found.q == pytest.approx(152.2330080824, rel=1e-9)
    assert found.mean.value == pytest.approx(-0.7149681535, rel=1e-7)
    assert found.mean.spread == pytest.approx(0.1808921915, rel=1e-6)
    assert found.mean.ends() == pytest.approx((-1.1090983796, -0.3208379274), rel=1e-6)


def test_equal_variances_are_students_test_where_studies_differ() -> None:
    values = [0.3, -0.2, 0.8, 0.1]
    found = random_effects(values, [1e-6] * 4)
    expected = stats.ttest_1samp(values, 0.0)
    assert 2 * min(found.mean.above(0), found.mean.below(0)) == pytest.approx(expected.pvalue, rel=1e-4)


def test_studies_that_agree_by_luck_are_not_certainty() -> None:
    found = random_effects([0.1, 0.1, 0.1], [0.04, 0.04, 0.04])
    assert found.tau2 == 0
    assert found.mean.spread == pytest.approx(0.2 / np.sqrt(3))


def test_exact_figures_weigh_alike() -> None:
    found = random_effects([0.5, 0.7], [0.0, 0.0])
    assert found.mean.value == pytest.approx(0.6)
    assert found.shares == pytest.approx((0.5, 0.5))


def test_one_study_has_no_summary() -> None:
    with pytest.raises(ValueError, match="two estimates"):
        random_effects([0.1], [0.1])


def test_the_prediction_is_wider_than_the_mean() -> None:
    found = random_effects([0.3, -0.2, 0.8, 0.1], [0.01] * 4)
    assert found.prediction is not None
    low, high = found.mean.ends()
    assert found.prediction[0] < low < high < found.prediction[1]
    assert random_effects([0.1, 0.3], [0.01, 0.01]).prediction is None


def test_the_means_interval_covers_a_population_of_few_studies() -> None:
    rng = np.random.default_rng(5)
    missed = 0
    for _ in range(2000):
        variances = rng.uniform(0.5, 2.0, 4)
        values = rng.normal(0, np.sqrt(0.5 + variances))
        low, high = random_effects(values, variances).mean.ends()
        missed += not low <= 0 <= high
    assert stats.binom.sf(missed - 1, 2000, 0.05) > 1e-3


def test_an_estimate_reads_students_law() -> None:
    sample = np.array([0.02, -0.01, 0.03, 0.015])
    estimate = Estimate(float(sample.mean()), float(stats.sem(sample)), 3)
    for margin in (-0.02, 0.0, 0.01):
        assert estimate.above(margin) == pytest.approx(
            stats.ttest_1samp(sample, margin, alternative="greater").pvalue
        )
        assert estimate.below(margin) == pytest.approx(
            stats.ttest_1samp(sample, margin, alternative="less").pvalue
        )
    assert Estimate(1.0, 0.5, 0).above(-9) == 1
    assert (Estimate(1.0, 0.0, 2).above(0.9), Estimate(1.0, 0.0, 2).above(1.0)) == (0, 1)
