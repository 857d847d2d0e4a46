import math
from pathlib import Path
from types import ModuleType

import pytest
from gate_lab_run import Make

from reports.data.aggregate import figures, over_seeds
from reports.data.ledger import Ledger, LedgerError, MeasurementRow, UnitRow, VariantRow
from reports.data.results import Results, read
from reports.language import metrics, words

STAMP = {"seconds": 1.0, "finished": "2026-01-01T00:00:00+00:00"}


def test_variants_are_sorted_dense_controls_then_methods_by_sparsity(results: Results) -> None:
    methods, sparsities = ("filter-l2", "global-magnitude", "layer-magnitude"), (0.5, 0.75, 0.9, 0.95)
    pruned = [f"{method}@{sparsity:g}" for method in methods for sparsity in sparsities]
    assert results.names() == ["dense", "dense-finetuned", *pruned]
    assert results.names(pruned=False) == ["dense", "dense-finetuned"]
    assert list(results.variants["seed"])[:4] == [0, 1, 2, 0]
    assert list(dict.fromkeys(results.measurements["variant"])) == results.names()
    assert results.seeds == 3


def test_completeness_counts_units_and_rows(results: Results) -> None:
    state = results.completeness
    assert (state.planned, state.done, state.failed, state.waiting) == (14 * 3 * 6, 14 * 3 * 6 - 1, 1, 0)
    assert not state.complete
    assert state.rows["failed"] == 1
    assert sum(state.rows.values()) == len(results.measurements)


def test_select_matches_conditions_and_leaves_out_what_has_no_figure(results: Results) -> None:
    rows = results.select("robust_accuracy", {"attack": "pgd", "eps": 0.1}, variant="dense")
    assert list(rows["seed"]) == [0, 1, 2]
    assert all(c == {"norm": "linf", "eps": 0.1, "attack": "pgd"} for c in rows["conditions"])
    assert results.select("membership_auc", variant="layer-magnitude@0.9")["status"].eq("ok").all()
    everything = results.select("membership_auc", variant="layer-magnitude@0.9", measured=False)
    assert "failed" in set(everything["status"])
    assert results.select("no_such_metric", {"eps": 1}).empty


def test_conditions_are_sorted_as_numbers(results: Results) -> None:
    rows = results.select("extraction_fidelity", {"attack": "knockoff"}, variant="dense")
    assert [c["queries"] for c in rows["conditions"]][:3] == [100, 300, 900]


def test_over_seeds_is_the_mean_with_the_lowest_and_highest_seed(results: Results) -> None:
    values = list(results.select("accuracy", {"split": "test"}, variant="dense")["value"])
    figure = figures(results, "accuracy", {"split": "test"})["dense"]
    assert figure.value == pytest.approx(sum(values) / 3)
    assert (figure.low, figure.high, figure.seeds, figure.n) == (min(values), max(values), 3, 500)


def test_a_single_seed_keeps_its_own_interval(tmp_path: Path, synthetic: ModuleType) -> None:
    one = read(synthetic.build(tmp_path, seeds=[0], methods=[]))
    row = one.select("accuracy", {"split": "test"}, variant="dense").iloc[0]
    figure = figures(one, "accuracy", {"split": "test"})["dense"]
    assert (figure.value, figure.low, figure.high) == (row["value"], row["low"], row["high"])


def test_a_seed_that_failed_leaves_the_others(results: Results) -> None:
    found = over_seeds(results.select("membership_auc", variant="layer-magnitude@0.9", measured=False))
    by = {f.at.get("attack"): f for f in found}
    assert by["loss"].seeds == 2
    failed = by[None]
    assert (failed.value, failed.status, failed.note) == (None, "failed", "RuntimeError: boom")


def test_a_least_effort_that_some_seed_did_not_reach_has_no_mean_over_the_others(make: Make) -> None:
    """That seed needs more: a mean without it would be too small."""
    at = {"attack": "progressive", "storage": "int8", "goal": "50 points"}
    rows = [
        MeasurementRow("dense", seed, "tampering", "tampering_flips", at, *figure, n=100, status=status)
        for seed, figure, status in ((0, (4.0, 3.0, 6.0), "ok"), (1, (None, None, None), "refused"))
    ]
    other = {**at, "goal": "chance"}
    whole = MeasurementRow("dense", 0, "tampering", "tampering_flips", other, 9.0, 8.0, 9.0, 100)
    results = make([*rows, whole])
    (part, full) = over_seeds(results.select("tampering_flips", measured=False))
    assert (part.value, part.status, part.seeds) == (None, "refused", 0)
    assert part.note == "no figure in 1 seed of 2: no mean over the others"
    assert full.value == 9.0
    assert not figures(results, "tampering_flips", at)
    assert figures(results, "tampering_flips", {**at, "goal": "chance"})["dense"].value == 9.0


def test_rows_of_a_model_that_was_never_made_still_belong_somewhere(tmp_path: Path) -> None:
    with Ledger.open(
        tmp_path / "run.sqlite", {"plan_digest": "d"}, [UnitRow("u", "p", "l"), UnitRow("v", "p", "l")]
    ) as ledger:
        ledger.append("u", variant=VariantRow("dense", 0, "dense", 0.0, 0.0), **STAMP)
        bad = MeasurementRow("taylor@0.9", 1, "accuracy", "accuracy", status="failed", note="no model")
        ledger.append("v", measurements=[bad], error="no model", **STAMP)
    found = read(tmp_path)
    row = found.measurements.iloc[0]
    assert (row["method"], row["sparsity"], row["control"]) == ("taylor", 0.9, False)
    assert math.isnan(row["value"])
    assert found.names() == ["dense"]


def test_a_folder_without_a_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"run\.sqlite does not exist"):
        read(tmp_path)


def test_unknown_metrics_have_a_title_and_no_direction() -> None:
    found = metrics.metric("watermark_survival")
    assert (found.title, found.unit, found.worse) == ("Watermark survival", "number", "neither")
    assert metrics.metric("accuracy").worse == "lower"
    assert metrics.metric("").title


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.8125, "share", "81.2%"),
        (0.5341, "auc", "0.534"), (-0.5, "auc", "−0.500"), (20106, "count", "20,106"),
        (12_345_678, "count", "12.35 M"), (82_912, "bytes", "82.9 kB"), (999_500, "bytes", "1,000 kB"),
        (512, "bytes", "512 bytes"), (0.0779, "milliseconds", "0.0779 ms"), (None, "share", "–"),
        (float("nan"), "count", "–"), (1234.5678, "number", "1235"),
    ],
)  # fmt: skip
def test_numbers_are_written_with_their_unit(value: float | None, unit: metrics.Unit, text: str) -> None:
    assert words.number(value, unit) == text


def test_differences_carry_their_sign() -> None:
    assert words.change(-0.0123, "share") == "−1.2 points"
    assert words.change(0.00001, "share") == "0.0 points"
    assert words.change_span(-0.03, 0.006, "share") == "−3.0 to +0.6"
    assert words.change(0.0123, "auc") == "+0.012"


def test_names_lose_what_could_steer_the_reader() -> None:
    assert words.shown("a\u202eb\x00c\u200bd") == "a\ufffdb\ufffdc\ufffdd"
    assert len(words.shown("x" * 500)) == 200
    assert words.shown("العربية") == "العربية"


def test_conditions_are_put_in_words() -> None:
    assert words.conditions({"attack": "worst_case", "eps": 0.1, "norm": "linf"}) == (
        "ε = 0.1, L∞, worst case over all attacks"
    )
    assert words.conditions({"attack": "loss", "fpr": 0.01}) == "loss-threshold attack, at 1% false positives"
    assert words.conditions({}) == ""
