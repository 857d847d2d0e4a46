import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from reports.stats import paired


def pairs(both: int, gained: int, lost: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    new = np.array([True] * (both + gained) + [False] * (lost + neither))
    old = np.array([True] * both + [False] * gained + [True] * lost + [False] * neither)
    return new, old


def test_rate_agrees_with_agresti_and_min_by_hand() -> None:
    found = paired.rate(*pairs(50, 5, 15, 30))
    centre = (5.5 - 15.5) / 102
    half = 1.959964 * math.sqrt((5.5 + 15.5) - (5.5 - 15.5) ** 2 / 102) / 102
    assert found.value == pytest.approx(-0.10)
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half), abs=1e-6)
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(centre) / (half / 1.959964)), rel=1e-4)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_rate_is_antisymmetric_and_holds_its_estimate(each: list[tuple[bool, bool]]) -> None:
    new, old = (np.array(side) for side in zip(*each, strict=True))
    there, back = paired.rate(new, old), paired.rate(old, new)
    assert there.value == -back.value
    assert there.low == pytest.approx(-back.high)
    assert -1 <= there.low <= there.value <= there.high <= 1
    assert there.low < there.high


@pytest.mark.parametrize("shapes", [((3,), (4,)), ((0,), (0,)), ((2, 2), (2, 2))])
def test_what_does_not_pair_is_refused(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match="not pairs"):
        paired.rate(np.zeros(shapes[0], bool), np.zeros(shapes[1], bool))


def test_auc_difference_agrees_with_scikit_learn_and_with_delong_by_definition() -> None:
    rng = np.random.default_rng(0)
    member = np.arange(60) < 25
    new = np.round(rng.normal(size=60) + member, 1)  # rounded: ties
    old = np.round(0.6 * new + rng.normal(size=60), 1)
    found = paired.auc(new, old, member)
    assert found.value == pytest.approx(roc_auc_score(member, new) - roc_auc_score(member, old))

    def kernel(score: np.ndarray) -> np.ndarray:
        x, y = score[member][:, None], score[~member][None, :]
        return (x > y) + 0.5 * (x == y)

    table = kernel(new) - kernel(old)
    variance = table.mean(1).var(ddof=1) / 25 + table.mean(0).var(ddof=1) / 35
    assert found.variance == pytest.approx(variance)


def test_auc_needs_two_of_each() -> None:
    with pytest.raises(ValueError, match="1 members"):
        paired.auc(np.arange(4.0), np.arange(4.0), np.array([True, False, False, False]))


def test_one_seed_pools_to_itself_and_none_to_an_error() -> None:
    only = paired.rate(*pairs(50, 5, 15, 30))
    assert paired.pool([only]) is only
    with pytest.raises(ValueError, match="nothing"):
        paired.pool([])


def test_pool_without_example_effect_is_students_interval() -> None:
    """Where every example answers alike within a seed, only the spread of the seeds is left."""
    values = [0.10, 0.14, 0.03]
    parts = [(np.full(50, value),) for value in values]
    each = [paired.Difference(v, v, v, 1.0, 0.0, 50, p) for v, p in zip(values, parts, strict=True)]
    found = paired.pool(each)
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_pool_sees_what_seeds_share() -> None:
    """Three seeds that agree example by example know no more than one of them does."""
    one = paired.rate(*pairs(60, 2, 18, 120))
    three = paired.pool([one, one, one])
    assert three.value == one.value
    assert three.high - three.low == pytest.approx(one.high - one.low, rel=0.1)


def coverage(seed_spread: float, example_spread: float, repeats: int = 400) -> float:
    """How often the pooled interval covers the true difference of a crossed seeds × examples law."""
    rng = np.random.default_rng(3)
    k, n, base, effect = 3, 300, 0.8, -0.06
    hits = 0
    for _ in range(repeats):
        shift = (
            effect + seed_spread * rng.normal(size=(k, 1)) + example_spread * rng.choice((-1, 1), size=(1, n))
        )
        old = rng.random((k, n)) < base
        # Given the example and the seed, the new model differs from the old with probability |shift|.
        flip = rng.random((k, n)) < np.abs(shift)
        new = np.where(flip, shift > 0, old)
        each = [paired.rate(new[i], old[i]) for i in range(k)]
        found = paired.pool(each)
        truth = truth_of(seed_spread, example_spread, effect, base)
        hits += found.low <= truth <= found.high
    return hits / repeats


def truth_of(seed_spread: float, example_spread: float, effect: float, base: float) -> float:
    """The expected difference under that law, by a large simulation of its own (E max(shift, 0) …)."""
    rng = np.random.default_rng(99)
    size = 400_000
    shift = effect + seed_spread * rng.normal(size=size) + example_spread * rng.choice((-1, 1), size=size)
    return float(((1 - base) * np.maximum(shift, 0) - base * np.maximum(-shift, 0)).mean())


@pytest.mark.parametrize(
    ("seed_spread", "example_spread"), [(0.0, 0.0), (0.03, 0.0), (0.0, 0.2), (0.03, 0.2)]
)
def test_the_pooled_interval_covers_as_often_as_it_says(
    monkeypatch: pytest.MonkeyPatch, seed_spread: float, example_spread: float
) -> None:
    truth = truth_of(seed_spread, example_spread, -0.06, 0.8)
    monkeypatch.setitem(globals(), "truth_of", lambda *_: truth)
    covered = coverage(seed_spread, example_spread)
    # 400 repeats: standard error 1.1 points. Too wide is allowed where the seeds hardly differ.
    assert 0.92 <= covered <= 1.0


def test_the_interval_of_seeds_alone_would_cover_too_little() -> None:
    """What the crossed model is for: seeds that share hard examples look surer than they are."""
    rng = np.random.default_rng(5)
    crossed = narrow = 0
    repeats, k, n = 300, 8, 150
    for _ in range(repeats):
        lost = rng.random(n) < 0.1  # examples that pruning breaks in nearly every seed
        old = np.ones((k, n), bool)
        new = old & ~(lost & (rng.random((k, n)) < 0.95))
        each = [paired.rate(new[i], old[i]) for i in range(k)]
        found = paired.pool(each)
        values = [d.value for d in each]
        low, high = stats.t.interval(0.95, k - 1, np.mean(values), stats.sem(values) + 1e-12)
        crossed += found.low <= -0.095 <= found.high
        narrow += low <= -0.095 <= high
    assert crossed / repeats >= 0.91
    assert narrow / repeats < 0.5


def test_holm_by_hand_and_in_order() -> None:
    assert paired.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert paired.holm([]) == []
    assert paired.holm([0.9, 0.8]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_the_raw_and_bonferroni(p: list[float]) -> None:
    adjusted = paired.holm(p)
    assert all(raw <= a <= min(1, raw * len(p)) + 1e-12 for raw, a in zip(p, adjusted, strict=True))
    order = sorted(range(len(p)), key=lambda i: p[i])
    assert [adjusted[i] for i in order] == sorted(adjusted)
