"""The exact sign-flip test against all signs, McNemar's test and a normal law."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from reports.stats.signflip import signflip


@settings(max_examples=50)
@given(st.lists(st.integers(-3, 3), min_size=0, max_size=9))
def test_agrees_with_every_flip_written_out(values: list[int]) -> None:
    sums = np.array(values, dtype=int)
    totals = [
        sum(s * abs(v) for s, v in zip(signs, values, strict=True))
        for signs in product((-1, 1), repeat=len(values))
    ]
    low = np.mean([total <= sums.sum() for total in totals])
    high = np.mean([total >= sums.sum() for total in totals])
    assert signflip(sums) == pytest.approx((low, high))


def test_one_seed_is_mcnemars_exact_test() -> None:
    sums = np.array([1] * 6 + [-1] * 16 + [0] * 139)
    low, high = signflip(sums)
    assert low == pytest.approx(stats.binomtest(6, 22, alternative="less").pvalue)
    assert high == pytest.approx(stats.binomtest(6, 22, alternative="greater").pvalue)


def test_no_difference_shows_nothing() -> None:
    assert signflip(np.zeros(50, dtype=int)) == (1.0, 1.0)


def test_large_samples_are_near_normal() -> None:
    sums = np.random.default_rng(0).integers(-5, 6, 20_000)
    spread = np.sqrt((sums**2).sum())
    low, _ = signflip(sums)
    assert low == pytest.approx(stats.norm.cdf(sums.sum() / spread), abs=0.005)
