"""Corrections for tests made together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.stats.holm import holm
from reports.stats.sequence import in_sequence


def test_holm_by_hand_and_in_order() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_the_raw_and_bonferroni(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(raw <= a <= min(1, raw * len(p)) + 1e-12 for raw, a in zip(p, adjusted, strict=True))
    order = sorted(range(len(p)), key=lambda i: p[i])
    assert [adjusted[i] for i in order] == sorted(adjusted)


def test_a_sequence_by_hand() -> None:
    assert in_sequence([[0.01, 0.02, 0.001], [0.2, 0.0]]) == [[0.02, 0.04, 0.04], [0.4, 0.4]]
    assert in_sequence([]) == []


@pytest.mark.parametrize("true_from", [0, 1, 3])
def test_any_wrong_claim_stays_at_the_level(true_from: int) -> None:
    """Three methods of four; from ``true_from`` on nothing is to be shown; before it all claims are right."""
    rng, wrong, repeats = np.random.default_rng(0), 0, 4000
    for _ in range(repeats):
        p = rng.random((3, 4))
        p[:, :true_from] *= 1e-6
        shown = np.array(in_sequence(p.tolist())) <= 0.05
        wrong += shown[:, true_from:].any()
    assert wrong / repeats < 0.05 + 3 * np.sqrt(0.05 / repeats)
    assert wrong / repeats > 0.03
