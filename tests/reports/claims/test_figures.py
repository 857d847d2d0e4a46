"""Cells against a naive reading of the same rows."""

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest

from reports.claims import Study
from reports.claims.figures import CONTROL, DENSE, Reading, against_dense, between, strong
from reports.claims.readings import GAP, TEST, membership, robust, savings, tuned
from reports.data.ledger import unpack
from reports.data.results import Results


def _value(study: Study, variant: str, seed: int, metric: str, at: str) -> float:
    rows = study.results.measurements
    mine = rows[
        (rows["variant"] == variant)
        & (rows["seed"] == seed)
        & (rows["metric"] == metric)
        & (rows["at"] == at)
    ]
    return float(mine["value"].iloc[0])


def test_a_cell_is_variant_minus_dense_by_seed(demo: Study) -> None:
    at = '{"split":"test"}'
    for cell in against_dense(demo, TEST):
        for seed, difference in cell.each.items():
            expected = _value(demo, cell.variant, seed, "accuracy", at) - _value(
                demo, DENSE, seed, "accuracy", at
            )
            assert difference.value == pytest.approx(expected)
            assert difference.parts[0].mean() == pytest.approx(expected)


def test_the_gap_is_train_less_test(demo: Study) -> None:
    cell = against_dense(demo, GAP)[0]

    def gap(variant: str) -> float:
        train, test = '{"split":"train"}', '{"split":"test"}'
        return _value(demo, variant, 1, "accuracy", train) - _value(demo, variant, 1, "accuracy", test)

    assert cell.each[1].value == pytest.approx(gap(cell.variant) - gap(DENSE))
    assert [len(part) for part in cell.each[1].parts] == [200, 500]
    assert sum(part.mean() for part in cell.each[1].parts) == pytest.approx(cell.each[1].value)


def test_the_control_stands_for_dense_where_there_is_fine_tuning(demo: Study) -> None:
    assert {cell.reference for cell in against_dense(demo, TEST, control=True)} == {CONTROL}
    assert {cell.reference for cell in against_dense(demo, TEST)} == {DENSE}


def test_no_control_means_dense_is_named(written: Callable[..., Results]) -> None:
    alone = Study("alone", "digits", "net", "none", written(control=False))
    assert {cell.reference for cell in against_dense(alone, TEST, control=True)} == {DENSE}


def test_an_auc_is_paired_on_its_examples(demo: Study) -> None:
    cell = membership("membership_auc")(demo)[0]
    rows = demo.results.select("membership_auc", {"attack": "loss"}, variant=cell.variant)
    evidence = unpack(rows[rows["seed"] == 0]["outcomes"].iloc[0])
    assert evidence is not None
    member = evidence["member"].astype(bool)
    own = (evidence["score"][member][:, None] > evidence["score"][~member]).mean()
    other = demo.results.select("membership_auc", {"attack": "loss"}, variant=CONTROL)
    theirs = unpack(other[other["seed"] == 0]["outcomes"].iloc[0])
    assert theirs is not None
    base = (theirs["score"][member][:, None] > theirs["score"][~member]).mean()
    assert cell.each[0].value == pytest.approx(own - base)


def test_savings_are_shares_of_denses(demo: Study) -> None:
    cells = savings("macs")(demo)
    half = next(cell for cell in cells if cell.variant == "filter-l2@0.5")
    assert half.each[0].value == pytest.approx(0.5)
    assert next(c for c in cells if c.variant == "global-magnitude@0.5").each[0].value == 0


def test_strong_pruning_is_from_ninety_percent_on(demo: Study) -> None:
    assert {cell.sparsity for cell in against_dense(demo, TEST, where=strong)} == {0.9, 0.95}


def test_conditions_are_met_exactly(demo: Study) -> None:
    assert between(demo, (DENSE, Reading("membership_tpr", {"attack": "loss"})), (DENSE, TEST)) == {}


def _changed(results: Results, metric: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Results:
    table = dict(results.by_metric)
    table[metric] = change(table[metric].copy())
    return replace(results, by_metric=MappingProxyType(table))


def test_a_model_near_chance_does_not_count(demo: Study) -> None:
    def fall(rows: pd.DataFrame) -> pd.DataFrame:
        mine = (rows["variant"] == "global-magnitude@0.5") & (rows["at"] == '{"split":"test"}')
        rows.loc[mine, ["value", "low", "high"]] = (0.11, 0.08, 0.15)
        return rows

    study = replace(demo, results=_changed(demo.results, "accuracy", fall))
    before = {cell.variant for cell in tuned(demo) if cell.excluded}
    fallen = {cell.variant: cell.excluded for cell in tuned(study) if cell.excluded}
    assert fallen.keys() - before == {"global-magnitude@0.5"}
    assert fallen["global-magnitude@0.5"] == "global-magnitude@0.5 is near chance"
    assert not any(cell.excluded for cell in against_dense(study, TEST, sound=False))


def test_a_figure_in_doubt_does_not_count(demo: Study) -> None:
    def raise_flag(rows: pd.DataFrame) -> pd.DataFrame:
        rows.loc[rows["variant"] == "global-magnitude@0.9", "value"] = 0.5
        return rows[rows["variant"] != "layer-magnitude@0.5"]

    study = replace(demo, results=_changed(demo.results, "attack_health", raise_flag))
    doubted = {c.variant: c.excluded for c in tuned(study) if "attack" in c.excluded}
    assert doubted == {
        "global-magnitude@0.9": "attacks on global-magnitude@0.9 show signs of failure",
        "layer-magnitude@0.5": "attack health of layer-magnitude@0.5 is not known",
    }


def test_the_radius_is_chosen_by_dense_alone(demo: Study) -> None:
    reading = robust(demo)
    assert reading is not None
    values = demo.results.select("robust_accuracy", {"attack": "worst_case"}, variant=DENSE)
    means = values.groupby("at")["value"].mean()
    clean = demo.results.select("accuracy", {"split": "test"}, variant=DENSE)["value"].mean()
    nearest = (means - clean / 2).abs().idxmin()
    assert f'"eps":{reading.at["eps"]:g}' in str(nearest)
    assert np.isfinite(means).all()
