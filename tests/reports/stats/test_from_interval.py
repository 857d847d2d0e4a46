"""P-values and other levels from a 95% interval, against the tests that made the interval."""

import numpy as np
import pytest
from scipy import stats

from reports.stats.from_interval import beyond, moved

NAN = float("nan")


def wilson(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    found = stats.binomtest(hits, n).proportion_ci(level, method="wilson")
    return float(found.low), float(found.high)


@pytest.mark.parametrize(("hits", "limit"), [(60, 0.5), (75, 0.66), (90, 0.85), (55, 0.5), (20, 0.1)])
def test_agrees_with_the_score_test_of_a_rate(hits: int, limit: float) -> None:
    low, _ = wilson(hits, 100)
    z = (hits / 100 - limit) / np.sqrt(limit * (1 - limit) / 100)
    p = beyond(hits / 100, low, limit, share=True)
    assert stats.norm.isf(p) == pytest.approx(z, rel=0.05)


def test_an_end_on_the_limit_is_2_and_a_half_percent() -> None:
    assert beyond(0.7, 0.6, 0.6, share=True) == pytest.approx(0.025)
    assert beyond(7, 5, 5, share=False) == pytest.approx(0.025)
    assert beyond(0.7, 0.8, 0.8, share=True) == pytest.approx(0.025)
    assert beyond(0.7, 0.6, 0.75, share=True) > 0.5


@pytest.mark.parametrize("hits", [30, 60, 85])
def test_another_level_agrees_with_wilsons(hits: int) -> None:
    low, high = wilson(hits, 200)
    wide = wilson(hits, 200, 0.99)
    assert moved(hits / 200, low, 0.005, share=True) == pytest.approx(wide[0], abs=0.002)
    assert moved(hits / 200, high, 0.005, share=True) == pytest.approx(wide[1], abs=0.002)
    assert moved(hits / 200, high, 0.025, share=True) == pytest.approx(high)


def test_without_an_interval_nothing_is_claimed() -> None:
    assert beyond(0.7, NAN, 0.5, share=True) == 1
    assert np.isnan(moved(0.7, NAN, 0.01, share=True))


def test_ends_at_0_and_1_stay_in_bounds() -> None:
    assert moved(0.98, 1.0, 0.001, share=True) == 1
    assert moved(1.0, 0.96, 0.001, share=True) < 0.96
    assert beyond(1.0, 0.96, 0.9, share=True) < 0.001
