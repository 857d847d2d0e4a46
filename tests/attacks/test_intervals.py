import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from attacks.intervals import InsufficientDataError, auc, balanced_accuracy, proportion, tpr_at_fpr


def gaussians(rng: np.random.Generator, m: int, n: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    scores = np.concatenate((rng.normal(shift, 1, m), rng.normal(0, 1, n)))
    return scores, np.arange(m + n) < m


def test_a_rate_by_hand():
    """The bounds at which seven of ten or more, or seven of ten or fewer, have a chance of 2.5%."""
    found = proportion(7, 10)
    assert (found.value, found.n) == (0.7, 10)
    assert stats.binom.sf(6, 10, found.low) == pytest.approx(0.025)
    assert stats.binom.cdf(7, 10, found.high) == pytest.approx(0.025)
    library = stats.binomtest(7, 10).proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx((library.low, library.high))


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_rate_lies_in_its_interval(case: tuple[int, int]):
    found = proportion(*case)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high


@pytest.mark.parametrize("n", [100, 300])
def test_a_rate_s_interval_covers_on_each_side(n: int):
    """Summed over every outcome, at rates from 0.001 to 0.999. Wilson's holds 0.84 at n = 100, p = 0.0017."""
    found = [proportion(k, n) for k in range(n + 1)]
    rates = np.arange(1, 1000)[:, None] / 1000
    chances = stats.binom.pmf(np.arange(n + 1), n, rates)
    for missed in (np.array([f.low for f in found]) > rates, np.array([f.high for f in found]) < rates):
        assert (chances * missed).sum(axis=1).max() <= 0.025


def test_nothing_has_no_rate():
    with pytest.raises(InsufficientDataError):
        proportion(0, 0)


@given(
    st.lists(st.integers(-3, 3), min_size=1, max_size=12),
    st.lists(st.integers(-3, 3), min_size=1, max_size=12),
)
def test_auc_counts_pairs_and_halves_ties(inside: list[int], outside: list[int]):
    naive = np.mean([(a > b) + (a == b) / 2 for a in inside for b in outside])
    scores, member = np.array(inside + outside), np.arange(len(inside + outside)) < len(inside)
    found = auc(scores, member)
    assert found.value == pytest.approx(naive, abs=1e-12)
    assert found.value == pytest.approx(roc_auc_score(member, scores), abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high


def test_an_area_s_interval_is_that_of_as_many_pairs_as_delong_s_variance_is_worth():
    """Variance of the placements, written out naively (DeLong et al. 1988, equations 4 to 6), and mixed with
    the largest that there can be: 40 pairs, of which 40 (1 − A) are out of order."""
    scores, member = gaussians(np.random.default_rng(3), 40, 60, 0.8)
    x, y = np.round(scores[member], 1), np.round(scores[~member], 1)
    psi = (x[:, None] > y) + (x[:, None] == y) / 2
    variance = np.var(psi.mean(1), ddof=1) / len(x) + np.var(psi.mean(0), ddof=1) / len(y)
    area = psi.mean()
    wrong = 40 * (1 - area)
    pairs = area * (1 - area) / ((wrong * variance + area * (1 - area) / 40) / (wrong + 1))
    found = auc(np.round(scores, 1), member)
    assert stats.beta.cdf(found.low, area * pairs, (1 - area) * pairs + 1) == pytest.approx(0.025)
    assert stats.beta.sf(found.high, area * pairs + 1, (1 - area) * pairs) == pytest.approx(0.025)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_auc_of_perfect_separation_has_an_honest_width(value: float):
    """Twenty disjoint pairs all in order: exactly Clopper and Pearson's bound, 0.025 ** (1 / 20)."""
    member = np.arange(50) < 20
    found = auc(np.where(member, 1.0, 0.0) if value else np.where(member, 0.0, 1.0), member)
    assert found.value == value
    edge = 0.025 ** (1 / 20)
    assert (found.low, found.high) == pytest.approx((edge, 1.0) if value else (0.0, 1 - edge))


def test_auc_of_constant_scores_is_a_half_with_a_width():
    found = auc(np.zeros(200), np.arange(200) < 100)
    assert found.value == 0.5
    assert 0.35 < found.low < 0.45
    assert 0.55 < found.high < 0.65


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.5, 4.0])
def test_auc_interval_covers_the_closed_form(shift: float):
    """Two Gaussians: AUC = Φ(shift / √2), up to 0.998. Of 400 intervals 95% cover it: 380 ± 4.4."""
    rng, truth = np.random.default_rng(11), stats.norm.cdf(shift / np.sqrt(2))
    covered = 0
    for _ in range(400):
        found = auc(*gaussians(rng, 60, 80, shift))
        covered += found.low <= truth <= found.high
    assert covered >= 371


def test_auc_interval_covers_where_few_are_out_of_order():
    """One member in fifty scores at random, AUC = 0.99. DeLong's interval covers 92% of the time: it
    knows only the strays that were drawn."""
    rng, covered = np.random.default_rng(2), 0
    for _ in range(400):
        inside = np.where(rng.random(100) < 0.02, rng.random(100), 2.0)
        found = auc(np.concatenate((inside, rng.random(100))), np.arange(200) < 100)
        covered += found.low <= 0.99 <= found.high
    assert covered >= 371


def test_nan_scores_are_refused():
    with pytest.raises(ValueError, match="NaN"):
        auc(np.array([0.0, np.nan]), np.array([True, False]))


def test_one_side_only_is_refused():
    with pytest.raises(InsufficientDataError, match="both needed: 2 and 0"):
        auc(np.array([0.0, 1.0]), np.array([True, True]))


def test_balanced_accuracy_is_the_mean_of_two_rates():
    member = np.arange(30) < 10
    decision = np.concatenate((np.arange(10) < 8, np.arange(20) < 5))
    found = balanced_accuracy(decision, member)
    hit, passed = proportion(8, 10), proportion(15, 20)
    assert found.value == pytest.approx((0.8 + 0.75) / 2)
    assert found.low == pytest.approx(found.value - np.hypot(0.8 - hit.low, 0.75 - passed.low) / 2)
    assert found.high == pytest.approx(found.value + np.hypot(hit.high - 0.8, passed.high - 0.75) / 2)


def test_balanced_accuracy_interval_covers():
    rng, covered = np.random.default_rng(5), 0
    member = np.arange(120) < 40
    for _ in range(400):
        decision = rng.random(120) < np.where(member, 0.9, 0.3)
        found = balanced_accuracy(decision, member)
        covered += found.low <= 0.8 <= found.high
    assert covered >= 371


def test_tpr_at_fpr_by_hand():
    """100 non-members 0 … 99, fpr 0.1: the tenth largest is 90, and a new one exceeds it with 10 / 101."""
    scores = np.concatenate((np.array([90.0, 90.5, 95.0, 200.0]), np.arange(100.0)))
    found = tpr_at_fpr(scores, np.arange(104) < 4, 0.1)
    assert found.value == 0.75
    assert found.n == 4


@pytest.mark.parametrize(("n", "fpr"), [(500, 0.01), (599, 0.01), (60, 0.1)])
def test_without_a_leak_the_rate_is_not_above_the_false_positives_allowed(n: int, fpr: float):
    """The k-th largest of n is exceeded with probability k / (n + 1): summed over members' places."""
    members, places = n + 1, np.arange(n + 1)  # one member in each gap between the non-members: all as likely
    scores = np.concatenate((places - 0.5, np.arange(n)))
    assert tpr_at_fpr(scores, np.arange(members + n) < members, fpr).value <= fpr


def test_tpr_with_ties_never_lets_more_pass_than_allowed():
    """All non-members tie with half the members: the threshold must lie above the tie."""
    scores = np.concatenate((np.array([1.0, 1.0, 2.0, 2.0]), np.ones(100)))
    assert tpr_at_fpr(scores, np.arange(104) < 4, 0.1).value == 0.5


def test_tpr_needs_five_allowed_false_positives():
    scores, member = gaussians(np.random.default_rng(0), 100, 499, 1.0)
    with pytest.raises(InsufficientDataError, match="at least 500 non-members .* there are 499"):
        tpr_at_fpr(scores, member, 0.01)
    scores, member = gaussians(np.random.default_rng(0), 100, 500, 1.0)
    assert tpr_at_fpr(scores, member, 0.01).n == 100


@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_tpr_interval_covers_the_closed_form(shift: float):
    """TPR = Φ(shift − z) at the threshold z of fpr. Coverage is guaranteed, hence at least 95%; and an
    interval that always covers because it says nothing would be no interval: its width is bounded too."""
    rng, fpr = np.random.default_rng(7), 0.05
    truth = stats.norm.cdf(shift - stats.norm.isf(fpr))
    covered, widths = 0, []
    for _ in range(300):
        found = tpr_at_fpr(*gaussians(rng, 400, 400, shift), fpr)
        covered += found.low <= truth <= found.high
        widths.append(found.high - found.low)
    assert covered >= 285
    assert np.mean(widths) < 0.45


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.1, 0.3]))
def test_tpr_interval_holds_its_value(seed: int, fpr: float):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, rng.integers(1, 50), 130).astype(float)
    found = tpr_at_fpr(scores, np.arange(130) < 30, fpr)
    assert 0 <= found.low <= found.value <= found.high <= 1
