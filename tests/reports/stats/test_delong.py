"""Differences of AUCs against scikit-learn and the definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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
    student = stats.t(24)
    assert stats.norm.cdf(found.score(found.value)) == pytest.approx(0.5)
    assert found.p >= 2 * student.sf(abs(found.value) / spread) - 1e-12
    assert found.p == pytest.approx(2 * student.sf(abs(found.value) / spread), rel=0.3)
    assert found.low <= found.value - 0.98 * student.ppf(0.975) * spread
    assert found.high >= found.value + 0.98 * student.ppf(0.975) * spread


def test_the_same_scores_differ_in_nothing_and_a_perfect_attack_has_an_interval() -> None:
    member = np.arange(80) < 40
    score = np.random.default_rng(0).normal(size=80) + member
    same = auc_difference(score, score, member)
    assert (same.value, same.p) == (0, 1)
    perfect = auc_difference(score + 50 * member, score, member)
    assert perfect.low < perfect.value <= perfect.high <= 1
    mirrored = auc_difference(score, score + 50 * member, member)
    assert mirrored.low == pytest.approx(-perfect.high, abs=1e-9)


def wrong_passes(
    auc: float, margin: float, alike: float, *, plain: bool = False, repeats: int = 2000
) -> float:
    """How often an AUC exactly a margin above the old one is shown to be below it; 100 of each kind."""
    rng, m = np.random.default_rng(0), 100
    member = np.arange(2 * m) < m
    shifts = [np.sqrt(2) * stats.norm.ppf(a) for a in (auc, auc + margin)]
    wrong = 0
    for _ in range(repeats):
        base = rng.normal(size=2 * m)
        old = base + shifts[0] * member
        new = alike * base + np.sqrt(1 - alike**2) * rng.normal(size=2 * m) + shifts[1] * member
        found = auc_difference(new, old, member)
        if plain:
            spread = np.sqrt(sum(p.var(ddof=1) / len(p) for p in found.parts))
            wrong += found.value + stats.norm.ppf(0.975) * spread < margin
        else:
            wrong += found.below(margin) < 0.025
    return wrong / repeats


@pytest.mark.parametrize(("auc", "margin", "alike"), [(0.5, 0.05, 0.9), (0.65, 0.05, 0.5), (0.8, 0.02, 0.98)])
def test_wrong_passes_stay_near_their_level(auc: float, margin: float, alike: float) -> None:
    assert wrong_passes(auc, margin, alike) < 0.025 + 3 * np.sqrt(0.025 / 2000)


@pytest.mark.parametrize("repeats", [pytest.param(2000), pytest.param(20_000, marks=pytest.mark.slow)])
def test_nor_do_they_exceed_it_near_one(repeats: int) -> None:
    """Where contributions are few, large and skewed: 3.4% by the variance at the margin alone."""
    assert wrong_passes(0.93, 0.02, 0.9, repeats=repeats) < 0.025 + 3 * np.sqrt(0.025 / repeats)
    assert wrong_passes(0.93, 0.05, 0.5, repeats=repeats) < 0.025 + 3 * np.sqrt(0.025 / repeats)


@settings(deadline=None)
@given(
    st.integers(2, 40), st.integers(2, 60), st.floats(0.3, 0.995), st.floats(0, 1), st.integers(0, 2**32 - 1)
)
def test_what_is_not_shown_to_be_untrue_is_an_interval_round_the_value(
    members: int, others: int, auc: float, alike: float, seed: int
) -> None:
    rng, member = np.random.default_rng(seed), np.arange(members + others) < members
    old = rng.normal(size=len(member)) + np.sqrt(2) * stats.norm.ppf(auc) * member
    found = auc_difference(alike * old + np.sqrt(1 - alike**2) * rng.normal(size=len(member)), old, member)
    scores = np.array([found.score(delta) for delta in np.linspace(-0.99, 0.99, 67)])
    for z in (1.0, 1.96, 3.0):
        assert (np.diff(np.flatnonzero(np.abs(scores) < z)) == 1).all()
    assert found.low <= found.value <= found.high
    assert (np.sign(scores) * np.sign(found.value - np.linspace(-0.99, 0.99, 67)) >= 0).all()


def test_where_delongs_interval_passes_too_much_this_one_does_not() -> None:
    assert wrong_passes(0.93, 0.05, 0.98, plain=True) > 0.04
    assert wrong_passes(0.93, 0.05, 0.98) < 0.025


def test_needs_two_of_each() -> None:
    with pytest.raises(ValueError, match="1 members"):
        auc_difference(np.arange(4.0), np.arange(4.0), np.array([True, False, False, False]))
