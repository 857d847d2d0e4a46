"""Changes by class: even ones are left alone, planted ones found, and the picture says what was computed."""

import numpy as np
import pytest

from reports.data.key import robust
from reports.data.results import Results
from reports.draw.charts import charts
from reports.stats import classes
from reports.stats.classes import uneven


def changes(rng: np.random.Generator, models: int, n: int, lost: np.ndarray) -> np.ndarray:
    """Outcomes that fall with probability ``lost`` (examples,) and rise with 2%, means of three seeds."""
    shape = (3, models, n)
    fell, rose = rng.random(shape) < lost, rng.random(shape) < 0.02
    return (rose.astype(float) - fell).mean(axis=0)


@pytest.mark.parametrize(("n", "share"), [(100, 0.02), (400, 0.1)])
def test_where_all_classes_lose_alike_a_picture_is_rarely_framed(n: int, share: float) -> None:
    """Few changes among few examples are where normal approximations frame too much."""
    rng, labels = np.random.default_rng(1), np.arange(n) % 5
    framed = [(uneven(changes(rng, 3, n, np.full(n, share)), labels, 5) < 0.05).any() for _ in range(100)]
    assert np.mean(framed) <= 0.11  # 5%, and twice its standard error over 100 pictures, with room


def test_a_class_that_loses_more_is_found_and_it_alone() -> None:
    rng, labels = np.random.default_rng(2), np.arange(500) % 10
    lost = np.where(labels == 3, 0.6, 0.1)
    adjusted = uneven(changes(rng, 4, 500, lost), labels, 10)
    assert (adjusted[:, 3] < 0.01).all()
    assert (np.delete(adjusted, 3, axis=1) > 0.05).all()


def test_the_scale_is_the_permutation_variance(monkeypatch: pytest.MonkeyPatch) -> None:
    """One model, two classes, whose sums mirror each other: p-values by counting."""
    monkeypatch.setattr(classes, "PERMUTATIONS", 9999)
    change, labels = np.array([[-1.0, -1, -1, 0, 0, 0, 0, 0]]), np.array([0, 0, 0, 0, 1, 1, 1, 1])
    adjusted = uneven(change, labels, 2)
    # All three losses on one side: 2 × C(5,1)/C(8,4) of the 70 ways to deal the labels.
    assert adjusted[0] == pytest.approx([10 / 70] * 2, abs=0.015)


def test_nothing_changed_and_an_empty_class_are_not_framed() -> None:
    adjusted = uneven(np.zeros((2, 30)), np.arange(30) % 3, 4)
    assert (adjusted == 1).all()


def test_the_table_holds_the_changes(results: Results) -> None:
    chart = charts()["class_drops"].draw(results)
    assert chart is not None
    labels = np.asarray(results.about["test_labels"])
    row = next(r for r in chart.table.rows if r[0].text == "filter-l2@0.95" and r[1].text == "Clean accuracy")
    from reports.data.ledger import unpack

    def correct(variant: str) -> np.ndarray:
        rows = results.select("accuracy", {"split": "test"}, variant=variant)
        return np.asarray([(unpack(blob) or {})["correct"] for blob in rows["outcomes"]], dtype=float)

    change = (correct("filter-l2@0.95") - correct("dense")).mean(axis=0)
    for cell, label in zip(row[2:], range(10), strict=True):
        assert cell.value == pytest.approx(change[labels == label].mean())


def test_without_labels_there_is_no_picture(results: Results) -> None:
    from dataclasses import replace

    bare = replace(results, about={k: v for k, v in results.about.items() if k != "test_labels"})
    assert charts()["class_drops"].draw(bare) is None


def test_attacks_in_turn_add_up_to_the_worst_case(results: Results) -> None:
    chart, key = charts()["attacks_in_turn"].draw(results), robust(results)
    assert chart is not None
    assert key is not None
    for row in chart.table.rows:
        parts = [cell.value for cell in row[1:]]
        assert sum(v for v in parts if v is not None) == pytest.approx(1)
        worst = results.select(key.metric, key.at, variant=row[0].text)["value"].mean()
        assert row[-1].value == pytest.approx(worst)
