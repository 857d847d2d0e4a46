"""The segmented fit, on curves whose knee is known."""

import numpy as np
import pytest

from reports.stats.knee import knee

X = np.array([0.0, 0.15, 0.3, 0.5, 0.7, 1.0, 1.3, 1.7])


def _curves(at: float, noise: float, seeds: int = 5, slope: float = -0.3) -> np.ndarray:
    rng = np.random.default_rng(2)
    return slope * np.maximum(0, X - at) + rng.normal(0, noise, (seeds, len(X)))


def test_a_knee_is_found_where_it_is() -> None:
    found = knee(X, _curves(0.7, 0.0))
    assert found is not None
    assert found.at == pytest.approx(0.7, abs=0.03)
    assert found.slope == pytest.approx(-0.3, abs=0.02)
    assert found.gain > 0.99


def test_the_interval_holds_it_and_narrows_with_seeds() -> None:
    few, many = knee(X, _curves(0.7, 0.02, 3)), knee(X, _curves(0.7, 0.02, 30))
    assert few is not None
    assert many is not None
    assert many.low <= 0.72
    assert many.high >= 0.68
    assert many.high - many.low < 0.3


def test_a_straight_line_has_no_knee() -> None:
    found = knee(X, -0.2 * X + np.random.default_rng(1).normal(0, 0.002, (5, len(X))))
    assert found is not None
    assert found.gain < 0.5


def test_order_does_not_matter_and_little_is_none() -> None:
    curves = _curves(0.5, 0.01)
    turned = np.arange(len(X))[::-1]
    assert knee(X, curves) == knee(X[turned], curves[:, turned])
    assert knee(X[:3], curves[:, :3]) is None
    assert knee(X, curves[:1]) is None
