"""These models: the mean over models on the same examples."""

import numpy as np
import pytest

from reports.stats.cluster import these_models
from reports.stats.delong import auc_difference
from reports.stats.difference import Difference
from reports.stats.paired import rate_difference


def test_one_model_is_its_own_and_none_an_error() -> None:
    rng = np.random.default_rng(0)
    only = rate_difference(rng.random(50) < 0.5, rng.random(50) < 0.5)
    assert these_models([only]) is only
    with pytest.raises(ValueError, match="nothing"):
        these_models([])


def test_models_that_agree_on_every_example_know_no_more_than_one() -> None:
    rng = np.random.default_rng(0)
    old = rng.random(300) < 0.8
    one = rate_difference(old & (rng.random(300) < 0.95), old)
    three = these_models([one, one, one])
    assert (three.value, three.low, three.high) == pytest.approx((one.value, one.low, one.high))
    assert three.p == pytest.approx(one.p)


def test_models_that_share_nothing_know_as_much_as_more_examples() -> None:
    """Of 900 examples each model errs on 300 of its own: about the interval of 2,700 independent pairs."""
    each = []
    for seed in range(3):
        new = np.ones(900, bool)
        new[seed * 300 : seed * 300 + 60] = False
        each.append(rate_difference(new, np.ones(900, bool)))
    three = these_models(each)
    apart = rate_difference(np.arange(2700) >= 180, np.ones(2700, bool))
    assert (three.low, three.high) == pytest.approx((apart.low, apart.high), abs=1e-9)


def test_models_on_other_examples_tell_no_more_than_one() -> None:
    rng = np.random.default_rng(0)
    each = [rate_difference(rng.random(n) < 0.6, rng.random(n) < 0.7) for n in (400, 500)]
    both = these_models(each)
    assert both.value == pytest.approx((each[0].value + each[1].value) / 2)
    assert both.high - both.low >= 0.99 * min(d.high - d.low for d in each)
    assert both.n == 400


def law(rng: np.random.Generator, n: int, k: int, drop: float, shared: float) -> list[Difference]:
    """``k`` models that lose ``drop`` in truth; a share of what changes, changes in all of them alike."""
    chance = np.where(rng.random(n) < 0.2, 1.0, 0.0) if shared else np.full(n, 0.2)
    lose = (0.02 + drop) / 0.2
    gain = 0.02 / 0.2
    each = []
    for _ in range(k):
        draw = rng.random(n)
        hit = (rng.random(n) < chance) if not shared else chance.astype(bool)
        new, old = hit & (draw < gain), hit & (draw > 1 - lose)
        each.append(rate_difference(new, old))
    return each


@pytest.mark.parametrize(("k", "n", "shared"), [(3, 200, 0.0), (3, 200, 1.0), (5, 200, 1.0), (3, 500, 1.0)])
def test_claims_about_the_mean_and_its_interval_hold_their_level(k: int, n: int, shared: float) -> None:
    """1,000 runs exactly at a margin of 5 points, and 1,000 at none."""
    rng, repeats = np.random.default_rng(n + k), 1000
    fails = missed = shown = 0
    for _ in range(repeats):
        at = these_models(law(rng, n, k, 0.05, shared))
        fails += at.below(-0.05) < 0.025
        missed += not at.low <= -0.05 <= at.high
        shown += these_models(law(rng, n, k, 0.0, shared)).below(0.0) < 0.025
    noise = 3 * np.sqrt(0.025 / repeats)
    assert fails / repeats < 0.025 + noise
    assert 0.008 < shown / repeats < 0.025 + noise
    assert missed / repeats < 0.05 + noise * np.sqrt(2)


def test_an_auc_averages_contributions() -> None:
    rng, member = np.random.default_rng(0), np.arange(300) < 100
    old = rng.normal(size=300) + 0.5 * member
    each = [auc_difference(old + 0.3 * rng.normal(size=300), old, member) for _ in range(3)]
    mean = these_models(each)
    assert mean.value == pytest.approx(np.mean([d.value for d in each]))
    assert mean.p <= max(d.p for d in each)
    one = these_models([each[0], each[0]])
    assert (one.low, one.high) == pytest.approx((each[0].low, each[0].high))
