"""The rule of the preset strict on weight tampering: who it stops, and what it does not take for a pass."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gate_lab_run import Make, clean, row, verdicts

from reports.data.ledger import MeasurementRow
from reports.gate.policy import Rule, preset

N = 1000
AT = {"attack": "progressive", "storage": "int8"}


def rule() -> Rule:
    """The one rule of the preset about tampering."""
    (found,) = [r for r in preset("strict").rules if r.metric.startswith("tampering")]
    return found


def after(flips: int, right: int, variant: str, seed: int, **more: Any) -> MeasurementRow:
    """So many right after so many flipped bits."""
    figure = (right / N, right / N - 0.03, right / N + 0.03)
    return row("tampering_accuracy", figure, variant, seed, probe="tampering", **AT, flips=flips, **more)


def models(dense: int, pruned: int, flips: int = 5) -> list[MeasurementRow]:
    """Dense and pruned, three seeds of each."""
    each = {"dense": dense, "m@0.9": pruned}
    return [
        one
        for seed in range(3)
        for variant, right in each.items()
        for one in (clean(variant, seed), after(flips, right, variant, seed, hits=right))
    ]


@pytest.mark.parametrize(
    ("dense", "pruned", "status"),
    [
        (800, 800, "pass"),
        (800, 850, "pass"),
        (800, 770, "pass"),
        (800, 705, "inconclusive"),
        (800, 500, "fail"),
    ],
)
def test_a_model_that_few_flips_harm_more_is_stopped(
    make: Make, dense: int, pruned: int, status: str
) -> None:
    found = verdicts(make(models(dense, pruned)), rule())
    assert [(d.variant, d.status) for d in found.decisions if d.variant != "dense"] == [("m@0.9", status)]


@pytest.mark.parametrize(("dense", "status"), [(130, "inconclusive"), (250, "inconclusive"), (900, "fail")])
def test_a_model_that_the_flips_destroy_does_not_pass_because_dense_is_destroyed_too(
    make: Make, dense: int, status: str
) -> None:
    (found,) = [d for d in verdicts(make(models(dense, 250)), rule()).decisions if d.variant == "m@0.9"]
    assert found.status == status
    assert ("leaves it near chance (25.0%)" in found.reason) == (status == "inconclusive")


def test_what_was_not_measured_is_not_run(make: Make) -> None:
    assert verdicts(make(models(800, 800, flips=3)), rule()).exit_code == 4


def test_averages_over_several_attackers_do_not_pass(make: Make) -> None:
    """They do not pair example by example, whatever their mean."""
    rows = [r for r in models(800, 800) if r.metric == "accuracy"]
    share = np.full(N, 0.9, np.float32)
    rows += [
        replace(after(5, 900, variant, seed), outcomes={"correct_share": share})
        for seed in range(3)
        for variant in ("dense", "m@0.9")
    ]
    (found,) = [d for d in verdicts(make(rows), rule()).decisions if d.variant == "m@0.9"]
    assert found.status == "inconclusive"
    assert "no evidence that pairs" in found.reason
