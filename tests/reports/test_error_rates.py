"""The gate's error rates, simulated: a few runs of a few settings. ``benchmarks/error_rates.py`` has all."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from reports.gate.policy import Policy, Rule

KINDS = ("min", "max", "drop", "rise", "auc", "auc-rise")
FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def rates() -> Iterator[ModuleType]:
    """The benchmark, found as Python finds it when it runs: it is no package."""
    sys.path.insert(0, str(FOLDER))
    try:
        yield importlib.import_module("error_rates")
    finally:
        sys.path.remove(str(FOLDER))


@pytest.mark.parametrize("truth", ["inside", "limit", "last"])
@pytest.mark.parametrize("kind", KINDS)
def test_no_rate_is_above_its_level_in_a_few_runs(rates: ModuleType, kind: str, truth: str) -> None:
    counts = rates.simulate(rates.Setting(kind, truth, 1.0, 200, 3), runs=10)
    assert rates.too_high(counts) == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("truth", ["inside", "limit", "last", "beyond"])
@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_no_rate_is_above_its_level(rates: ModuleType, kind: str, seeds: int, truth: str) -> None:
    counts = rates.simulate(rates.Setting(kind, truth, 0.0, 500, seeds), runs=200)
    assert rates.too_high(counts) == []


@pytest.mark.parametrize("kind", ["drop", "auc"])
def test_a_judge_that_passes_too_much_is_found_out(rates: ModuleType, kind: str, tmp_path: Path) -> None:
    """It is handed a limit that is wider than the one that the models lie at."""
    setting = rates.Setting(kind, "limit", 0.0, 500, 1)
    laboratory = rates.Laboratory(setting, tmp_path)
    limits = {"drop": {"max_drop": 0.15}, "auc": {"max": 0.8}}
    lax = Rule.model_validate({"id": kind, "metric": setting.what.metric, **limits[kind]})
    laboratory.policy = Policy((lax,))
    rng = np.random.default_rng(0)
    counts = np.array([laboratory.judged(laboratory.draw(rng)) for _ in range(10)], dtype=float)
    assert "false pass" in " ".join(rates.too_high(counts))


def test_families_are_held_to_their_level(rates: ModuleType) -> None:
    """Nine wrong runs of thirty are no chance at 5%; three of thirty may be."""
    right = rates.Counts(1.0, 0.0, 0.0, 0.0, False, False, 0.0, 0.0, 0.0)
    wrong = right._replace(family=True, false_fail=1 / 12)
    assert rates.too_high(np.array([right] * 27 + [wrong] * 3, dtype=float)) == []
    (said,) = rates.too_high(np.array([right] * 21 + [wrong] * 9, dtype=float))
    assert said == "family 30.0% where 5.0% is promised"


@pytest.mark.parametrize("kind", KINDS)
def test_the_made_up_models_have_the_figures_that_they_are_said_to_have(
    rates: ModuleType, kind: str, tmp_path: Path
) -> None:
    setting = rates.Setting(kind, "limit", 1.0, 10_000, 2)
    laboratory = rates.Laboratory(setting, tmp_path)
    rng = np.random.default_rng(3)
    truths = laboratory.truths(np.random.default_rng(3))
    rows = laboratory.draw(rng).select(setting.what.metric)
    for row in rows.to_dict("records"):
        assert row["value"] == pytest.approx(truths[row["variant"]][row["seed"]], abs=0.025)
    worst = [
        (max if setting.what.worse > 0 else min)(
            own - (base - setting.what.dense if setting.what.compares else 0)
            for own, base in zip(truths[name], truths["dense"], strict=True)
        )
        for name in sys.modules["known_runs"].PRUNED
    ]
    assert worst == pytest.approx([setting.what.figure("limit")] * len(worst))


def test_what_is_well_inside_passes_where_there_are_enough_examples(rates: ModuleType) -> None:
    counts = rates.simulate(rates.Setting("drop", "inside", 0.0, 4000, 1), runs=2)
    assert counts[:, 0].mean() > 0.9


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_four_in_five_good_models_pass_a_preset_at_the_size_that_is_told(rates: ModuleType) -> None:
    """As told, within what the assumption of independent figures costs; never far fewer."""
    for setting in rates.sizes([1, 3]):
        if setting.kind.startswith("standard/"):
            passed = rates.simulate(setting, runs=40)[:, 0].mean()
            assert 0.7 < passed < 1.0, setting


def test_a_good_model_passes_the_preset_at_the_size_that_is_told(rates: ModuleType) -> None:
    (setting,) = [s for s in rates.sizes([1]) if s.kind == "standard/robustness"]
    assert 0.6 < rates.simulate(setting, runs=12)[:, 0].mean() < 1.0
