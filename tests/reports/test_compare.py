from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reports.data.ledger import Ledger, MeasurementRow, UnitRow, VariantRow, unpack
from reports.data.results import Results, read
from reports.stats.compare import compare_all
from reports.stats.delong import auc_difference

AT = {"split": "test"}


def run(
    folder: Path, models: Mapping[tuple[str, int], Mapping[str, Any] | None], metric: str = "accuracy"
) -> Results:
    """A run of one metric, with the evidence of each (variant, seed)."""
    units = [UnitRow(f"{v}-{s}", "probe", v) for v, s in models]
    with Ledger.open(folder / "run.sqlite", {"plan_digest": "d"}, units) as ledger:
        for (variant, seed), evidence in models.items():
            row = MeasurementRow(variant, seed, "p", metric, AT, 0.5, outcomes=evidence)
            made = VariantRow(variant, seed, variant.partition("@")[0], 0.0, 0.0)
            ledger.append(f"{variant}-{seed}", variant=made, measurements=[row], seconds=0, finished="")
    return read(folder)


def hits(*values: int) -> dict[str, np.ndarray]:
    return {"correct": np.array(values, dtype=bool)}


def test_same_seeds_are_paired(tmp_path: Path) -> None:
    results = run(tmp_path, {
        ("dense", 0): hits(1, 1, 1, 1), ("dense", 1): hits(0, 0, 0, 0),
        ("a@0.5", 0): hits(1, 1, 1, 0), ("a@0.5", 1): hits(0, 0, 0, 1),
    })  # fmt: skip
    found = compare_all(results, ["dense", "a@0.5"], "accuracy", AT)
    assert list(found) == ["a@0.5"]
    assert found["a@0.5"].seeds == (0, 1)
    assert [d.value for d in found["a@0.5"].each] == [-0.25, 0.25]
    assert found["a@0.5"].pooled.value == 0


def test_the_only_dense_serves_every_seed_and_several_only_their_own(tmp_path: Path) -> None:
    models: dict[tuple[str, int], Any] = {
        ("dense", 7): hits(1, 1, 0, 0),
        ("a@0.5", 0): hits(1, 0, 0, 0),
        ("a@0.5", 1): hits(1, 1, 1, 0),
    }
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one = compare_all(run(tmp_path / "one", models), ["a@0.5"], "accuracy", AT)["a@0.5"]
    assert (one.seeds, [d.value for d in one.each]) == ((0, 1), [-0.25, 0.25])
    two = compare_all(
        run(tmp_path / "two", {**models, ("dense", 1): hits(1, 1, 1, 1)}), ["a@0.5"], "accuracy", AT
    )
    assert two["a@0.5"].seeds == (1,)


@pytest.mark.parametrize("evidence", [None, hits(1, 0), {"other": np.zeros(4)}, hits()])
def test_what_does_not_pair_is_left_out(tmp_path: Path, evidence: Any) -> None:
    results = run(tmp_path, {("dense", 0): hits(1, 1, 0, 0), ("a@0.5", 0): evidence})
    assert compare_all(results, ["a@0.5"], "accuracy", AT) == {}


def scores(rng: np.random.Generator, shift: float, member: np.ndarray) -> dict[str, np.ndarray]:
    return {"score": (rng.normal(size=len(member)) + shift * member).astype(np.float32), "member": member}


def test_membership_is_compared_by_delong_on_the_same_members(tmp_path: Path) -> None:
    rng, member = np.random.default_rng(0), np.arange(200) < 100
    dense, ours = scores(rng, 1.0, member), scores(rng, 0.0, member)
    results = run(
        tmp_path,
        {("dense", 0): dense, ("a@0.5", 0): ours, ("b@0.5", 0): {**ours, "member": ~member}},
        "membership_auc",
    )
    found = compare_all(results, ["a@0.5", "b@0.5"], "membership_auc", AT)
    assert list(found) == ["a@0.5"]
    expected = auc_difference(ours["score"].astype(float), dense["score"].astype(float), member)
    assert found["a@0.5"].pooled.value == expected.value
    assert (found["a@0.5"].leans, found["a@0.5"].direction) == ("better", "better")  # leaking less is better


def test_direction_needs_the_corrected_p_value(tmp_path: Path) -> None:
    """One clear difference among many that are none stays; a borderline one leans and no more."""
    rng = np.random.default_rng(1)
    base = rng.random(400) < 0.9

    def flipped(count: int) -> dict[str, np.ndarray]:
        new = base.copy()
        new[np.flatnonzero(base)[:count]] = False
        return {"correct": new}

    models: dict[tuple[str, int], Any] = {
        ("dense", 0): {"correct": base},
        ("clear@0.9", 0): flipped(60),
        ("edge@0.9", 0): flipped(7),
    }
    names = [f"none{i}@0.5" for i in range(10)]
    models |= {(name, 0): {"correct": base} for name in names}
    results = run(tmp_path, models)
    found = compare_all(results, ["clear@0.9", "edge@0.9", *names], "accuracy", AT)
    assert (found["clear@0.9"].leans, found["clear@0.9"].direction) == ("worse", "worse")
    assert (found["edge@0.9"].leans, found["edge@0.9"].direction) == ("worse", "same")
    assert {found[n].direction for n in names} == {"same"}
    assert found["edge@0.9"].adjusted > found["edge@0.9"].pooled.p
    assert compare_all(results, ["edge@0.9"], "accuracy", AT)["edge@0.9"] == found["edge@0.9"]


def test_a_metric_without_a_worse_direction_never_leans(tmp_path: Path) -> None:
    results = run(tmp_path, {("dense", 0): hits(*[1] * 200), ("a@0.5", 0): hits(*[0] * 200)}, "plugin_metric")
    found = compare_all(results, ["a@0.5"], "plugin_metric", AT)["a@0.5"]
    assert found.pooled.value == -1
    assert (found.leans, found.direction) == ("same", "same")


def test_synthetic_run_agrees_with_the_values_in_the_file(results: Results) -> None:
    found = compare_all(results, results.names(), "accuracy", AT)
    values: dict[str, Sequence[float]] = {
        name: list(results.select("accuracy", AT, variant=name)["value"])
        for name in ("dense", "filter-l2@0.75")
    }
    assert found["filter-l2@0.75"].pooled.value == pytest.approx(
        float(np.mean(values["filter-l2@0.75"]) - np.mean(values["dense"]))
    )
    blob = results.select("accuracy", AT, variant="dense").iloc[0]["outcomes"]
    assert unpack(blob)["correct"].mean() == pytest.approx(values["dense"][0])  # type: ignore[index]


def test_seeds_that_all_lose_a_little_are_worse_among_thirteen_variants(tmp_path: Path) -> None:
    """5 points lost in each of three seeds, by 3.5 to 6.5: these models are worse, whatever a retraining is.

    A test of a retraining alone cannot tell, and the headline called it no difference.
    """
    rng = np.random.default_rng(0)
    models: dict[tuple[str, int], Any] = {}
    for seed in range(3):
        base = rng.random(500) < 0.9
        models["dense", seed] = {"correct": base}
        models["a@0.9", seed] = {"correct": base & (rng.random(500) > (0.035, 0.055, 0.07)[seed])}
        for i in range(12):
            flipped = rng.random(500) < np.where(base, 0.01, 0.09)  # as many gained as lost
            models[f"none{i}@0.5", seed] = {"correct": base ^ flipped}
    results = run(tmp_path, models)
    found = compare_all(results, results.names(), "accuracy", AT)
    assert found["a@0.9"].pooled.value == pytest.approx(-0.05, abs=0.01)
    assert found["a@0.9"].direction == "worse"
    assert [c.direction for name, c in found.items() if name != "a@0.9"] == ["same"] * 12
    again = found["a@0.9"].retraining
    assert again is not None
    assert again.high - again.low > 1.2 * (found["a@0.9"].pooled.high - found["a@0.9"].pooled.low)


def test_one_seed_says_nothing_of_a_retraining(tmp_path: Path) -> None:
    results = run(tmp_path, {("dense", 0): hits(*[1] * 200), ("a@0.5", 0): hits(*[0] * 200)})
    found = compare_all(results, ["a@0.5"], "accuracy", AT)["a@0.5"]
    assert (found.direction, found.retraining, found.of_retraining) == ("worse", None, "same")


def test_seeds_that_disagree_tell_of_these_models_and_not_of_the_method(tmp_path: Path) -> None:
    """One training lost 20 points, another gained 10: this file is worse, another may not be."""
    base = np.arange(400) < 320
    models: dict[tuple[str, int], Any] = {("dense", s): {"correct": base} for s in range(3)}
    for seed, right in enumerate((240, 360, 330)):
        models["a@0.5", seed] = {"correct": np.arange(400) < right}
    found = compare_all(run(tmp_path, models), ["a@0.5"], "accuracy", AT)["a@0.5"]
    assert (found.direction, found.of_retraining) == ("worse", "same")
