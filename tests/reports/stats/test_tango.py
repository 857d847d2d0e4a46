"""Tango's interval against published examples, a numerical twin, and how often it errs."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from reports.stats import tango
from reports.stats.difference import TAIL
from reports.stats.paired import counted, rate_difference


@pytest.mark.parametrize(
    ("gained", "lost", "n", "low", "high"),
    [
        # Fagerland, Lydersen & Laake, Statistical Analysis of Contingency Tables (2017), chapter 8: complete
        # response before and after consolidation therapy (Cavo et al. 2012), and their package's edge cases.
        (6, 16, 161, -0.1240, -0.0054),
        (3, 0, 3, -0.1230, 1.0),
        (0, 3, 3, -1.0, 0.1230),
    ],
)
def test_published_intervals(gained: int, lost: int, n: int, low: float, high: float) -> None:
    found = counted(gained, lost, n, np.zeros(n))
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def twin(gained: int, lost: int, n: int, delta: float) -> float:
    """The same score, its variance at the maximum of the multinomial likelihood, found numerically."""

    def unlikely(only_old: float) -> float:
        only_new = only_old + delta
        cells = ((gained, only_new), (lost, only_old), (n - gained - lost, 1 - only_new - only_old))
        return -sum(k * math.log(max(p, 1e-300)) for k, p in cells if k)

    ends = (max(0.0, -delta), (1 - delta) / 2)
    options = {"xatol": 1e-12}
    best = optimize.minimize_scalar(unlikely, bounds=ends, method="bounded", options=options).x
    variance = n * (2 * best + delta - delta**2)
    return float((gained - lost - n * delta) / math.sqrt(variance))


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 200), st.floats(-0.6, 0.6))
def test_score_agrees_with_a_numerical_maximum_likelihood(
    gained: int, lost: int, rest: int, delta: float
) -> None:
    n = gained + lost + rest
    if n == 0 or abs(delta) < 0.01:
        return
    found = tango.score(gained, lost, n, delta)
    assert found == pytest.approx(twin(gained, lost, n, delta), rel=1e-3, abs=1e-4)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 300))
def test_score_falls_and_intervals_mirror_and_hold_the_estimate(gained: int, lost: int, rest: int) -> None:
    n = gained + lost + rest
    scores = [tango.score(gained, lost, n, d) for d in np.linspace(-0.99, 0.99, 67)]
    assert all(a >= b - 1e-9 for a, b in pairwise(scores))
    there, back = counted(gained, lost, n, np.zeros(n)), counted(lost, gained, n, np.zeros(n))
    assert there.low == pytest.approx(-back.high, abs=1e-9)
    assert -1 <= there.low <= there.value <= there.high <= 1
    assert there.low < there.high
    assert there.end(0.001, upper=False) <= there.low


def test_at_zero_the_p_value_is_mcnemars_exact() -> None:
    found = counted(6, 16, 161, np.zeros(161))
    assert found.p == pytest.approx(stats.binomtest(6, 22).pvalue)
    assert found.below(0) == pytest.approx(stats.binom.cdf(6, 22, 0.5))


@pytest.mark.parametrize("shapes", [((3,), (4,)), ((0,), (0,)), ((2, 2), (2, 2))])
def test_what_does_not_pair_is_refused(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match="not pairs"):
        rate_difference(np.zeros(shapes[0], bool), np.zeros(shapes[1], bool))


def wrong_passes(n: int, margin: float, only_new: float, tail: float, *, agresti: bool = False) -> float:
    """The chance, exact, of showing a drop below the margin where it is the margin: all tables, weighed."""
    lost, gained = np.mgrid[0 : n + 1, 0 : n + 1]
    lost, gained = lost[lost + gained <= n], gained[lost + gained <= n]
    law = stats.multinomial.pmf(
        np.stack([gained, lost, n - gained - lost], -1),
        n,
        [only_new, only_new + margin, 1 - 2 * only_new - margin],
    )
    sure = law > 1e-9
    z = stats.norm.ppf(1 - tail)
    total = 0.0
    for b, c, p in zip(gained[sure].tolist(), lost[sure].tolist(), law[sure].tolist(), strict=True):
        if agresti:
            centre = (b - c) / (n + 2)
            spread = math.sqrt((b + c + 1) - (b - c) ** 2 / (n + 2)) / (n + 2)
            total += p * (centre - z * spread > -margin)
        else:
            total += p * (tango.score(b, c, n, -margin) > z)
    return total


@pytest.mark.parametrize(("margin", "only_new"), [(0.05, 0.0), (0.05, 0.01), (0.05, 0.05), (0.1, 0.02)])
def test_wrong_passes_stay_at_their_level_where_agresti_and_mins_do_not(
    margin: float, only_new: float
) -> None:
    assert wrong_passes(200, margin, only_new, TAIL) < 0.0275
    assert wrong_passes(200, margin, only_new, 0.0021) < 0.0028


def test_that_check_can_fail() -> None:
    assert wrong_passes(200, 0.05, 0.0, TAIL, agresti=True) > 0.03
