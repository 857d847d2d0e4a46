"""A retraining: Student's test with a variance that all variants lend one another."""

import numpy as np
import pytest
from scipy import special, stats

from reports.stats.difference import Difference, gaussian
from reports.stats.holm import holm
from reports.stats.moderated import MOST_PRIOR, _inverse_trigamma, _prior, retrainings
from reports.stats.paired import rate_difference


def flat(values: list[float]) -> list[Difference]:
    """Seeds in which every example answers alike: only the spread of the seeds is left."""
    return [Difference(v, 50, gaussian(v, 0.0), parts=(np.full(50, v),)) for v in values]


def test_one_variant_alone_is_students_interval() -> None:
    values = [0.10, 0.14, 0.03]
    (found,) = retrainings([flat(values)])
    assert found is not None
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (found.low, found.high, found.freedom) == pytest.approx((low, high, 2))
    assert found.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_one_seed_says_nothing_of_a_retraining() -> None:
    assert retrainings([flat([0.1]), flat([0.1, 0.2])])[0] is None
    assert retrainings([]) == []


def test_prior_is_found_again() -> None:
    """Variances drawn from the law that Smyth assumes, 4 prior degrees of freedom around 0.09."""
    rng = np.random.default_rng(0)
    true = 0.09 * 4 / rng.chisquare(4, 20_000)
    observed = true * rng.chisquare(2, 20_000) / 2
    centre, freedom = _prior([(float(s), 2) for s in observed])
    assert (centre, freedom) == pytest.approx((0.09, 4), rel=0.06)
    assert _prior([(float(s), 2) for s in 0.09 * rng.chisquare(2, 500) / 2])[1] == MOST_PRIOR
    assert _prior([(0.1, 2)]) == (0.0, 0.0)


def test_trigamma_inverts() -> None:
    for x in (0.3, 1.0, 7.0, 60.0):
        assert _inverse_trigamma(float(special.polygamma(1, x))) == pytest.approx(x)


@pytest.mark.parametrize("spread", [0.0, 0.02, 0.04])
def test_wrong_claims_of_a_method_stay_below_5_percent_over_a_run(spread: float) -> None:
    """13 variants without an effect, 3 seeds that differ, dense's shared by all: any claim is wrong."""
    rng, repeats, n, k = np.random.default_rng(1), 250, 300, 3
    wrong = 0
    for _ in range(repeats):
        hard = rng.random(n) * 0.3
        dense = [rng.random(n) > np.clip(hard + spread * rng.normal(), 0, 1) for _ in range(k)]
        groups = []
        for _ in range(13):
            news = [rng.random(n) > np.clip(hard + spread * rng.normal(), 0, 1) for _ in range(k)]
            groups.append([rate_difference(a, b) for a, b in zip(news, dense, strict=True)])
        p = [found.p for found in retrainings(groups) if found is not None]
        wrong += min(holm(p)) < 0.05
    assert wrong / repeats < 0.05 + 2 * np.sqrt(0.05 / repeats)
