"""What pruning is handed: trainings from the plan, early weights of the dense model, training data only."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from audit import means, runner
from audit import plan as plans
from audit.errors import PlanError
from audit.plan import Plan, load
from audit.preflight import preflight
from audit.subject import models, training
from audit.subject.data import Data
from audit.units import units
from pruning import masks, storage
from pruning.prune import Pruned
from pruning.recipe import Recipe
from reports.data.results import read

Write = Callable[[dict[str, Any]], Path]
Execute = Callable[..., runner.Outcome]


def nothing(model: nn.Module, sparsity: float | None, kept: masks.Masks | None = None) -> Pruned:
    raise AssertionError("not to be pruned here")


@pytest.fixture
def subject(tiny: dict[str, Any], write_plan: Write) -> tuple[Plan, Data]:
    tiny["train"]["decay"] = "step"
    plan = load(write_plan(tiny))
    return plan, preflight(plan).data


def test_early_weights_are_those_that_the_dense_model_had(subject: tuple[Plan, Data]) -> None:
    plan, data = subject
    made = means.means(plan, data, "cpu", nothing, Recipe(), seed=7, origin=11)
    assert made.original is not None
    assert made.early is not None
    assert made.finetune is not None
    assert (made.original.epochs, made.original.steps) == (3, 3 * 4)
    assert (made.finetune.epochs, made.finetune.steps) == (1, 4)
    assert plan.train is not None
    assert data.train is not None
    dense = models.fresh(models.builder(plan, data), 11)
    initial = {name: value.clone() for name, value in dense.state_dict().items()}
    training.train(dense.requires_grad_(True), data.train, plan.train, epochs=3, seed=11)
    for step, state in ((0, initial), (12, dense.state_dict())):
        early = made.early(step).state_dict()
        assert all(torch.equal(early[name], value) for name, value in state.items())
    between = made.early(5).state_dict()
    assert not torch.equal(between["0.weight"], initial["0.weight"])
    assert not torch.equal(between["0.weight"], dense.state_dict()["0.weight"])


def test_a_runs_dense_model_is_where_the_original_training_ends(reference: Path) -> None:
    plan = load(reference / "plan.toml")
    data = preflight(plan).data
    work = units(plan, data, "cpu")
    dense = next(unit for unit in work if unit.kind == "dense")
    pruned = next(unit for unit in work if unit.kind == "pruned")
    assert pruned.origin == dense.seed
    made = means.means(plan, data, "cpu", nothing, Recipe(), seed=pruned.seed, origin=pruned.origin)
    assert made.early is not None
    again = made.early(12).state_dict()
    with closing(sqlite3.connect(reference / "out" / runner.RESULTS)) as db:
        (file,) = db.execute("SELECT file FROM variant WHERE variant = 'dense'").fetchone()
    kept = storage.read(reference / "out" / file)[1]
    assert all(torch.equal(again[name], value) for name, value in kept.items())


def test_recalibration_meets_training_examples_and_no_others(
    subject: tuple[Plan, Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, data = subject
    assert data.train is not None
    met: list[Tensor] = []

    def watch(model: nn.Module, batches: Iterator[Tensor]) -> None:
        met.extend(batches)

    monkeypatch.setattr(means, "recalibrate", watch)
    made = means.means(plan, data, "cpu", nothing, Recipe(), seed=0, origin=0)
    assert made.recalibrate is not None
    made.recalibrate(nn.Linear(1, 1))
    assert torch.equal(torch.cat(met), data.train.x)
    assert plan.pruning is not None
    as_is = plan.model_copy(update={"pruning": plan.pruning.model_copy(update={"finetune_epochs": 0})})
    without = means.means(as_is, replace(data, train=None), "cpu", nothing, Recipe(), seed=0, origin=0)
    assert (without.recalibrate, without.original, without.early) == (None, None, None)


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (
            "lottery-ticket",
            "lottery-ticket: rewinds weights to early training, and a model given by its weights",
        ),
        ({"rewind": "weights"}, "magnitude-weight-global-rewind-weights-0: rewinds weights"),
    ],
)
def test_a_model_given_by_its_weights_has_no_early_ones(
    tiny: dict[str, Any], tmp_path: Path, method: Any, said: str
) -> None:
    build = models.function_of(load_tiny(tiny, tmp_path), "audit.zoo:digits_cnn", "[model] build")
    save_file(build().state_dict(), tmp_path / "m.safetensors")
    tiny["model"]["weights"] = "m.safetensors"
    del tiny["data"]["train_examples"]
    tiny["pruning"]["methods"] = [method]
    plan = plans.parse(tiny, tmp_path / "plan.toml")
    with pytest.raises(PlanError) as error:
        preflight(plan)
    assert said in str(error.value)
    assert "lr-rewind" in str(error.value)
    tiny["pruning"]["methods"] = ["lr-rewind"]
    assert preflight(plans.parse(tiny, tmp_path / "plan.toml")).prunable > 0
    del tiny["train"]
    tiny["pruning"]["finetune_epochs"] = 0
    with pytest.raises(PlanError, match=r"lr-rewind: repeats the training .* say in \[train\]"):
        preflight(plans.parse(tiny, tmp_path / "plan.toml"))


def load_tiny(table: dict[str, Any], folder: Path) -> Plan:
    return plans.parse(table, folder / "plan.toml")


def test_without_training_examples_recalibration_is_refused(tiny: dict[str, Any], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x_test=rng.random((20, 1, 8, 8), np.float32), y_test=np.arange(20) % 10)
    build = models.function_of(load_tiny(tiny, tmp_path), "audit.zoo:digits_cnn", "[model] build")
    save_file(build().state_dict(), tmp_path / "m.safetensors")
    tiny["model"]["weights"] = "m.safetensors"
    tiny["data"] = {"source": "npz:d.npz"}
    tiny["pruning"] |= {"methods": ["magnitude-bn-recalibrated"], "finetune_epochs": 0}
    with pytest.raises(
        PlanError, match="magnitude-bn-recalibrated: needs training examples, and the data has"
    ):
        preflight(plans.parse(tiny, tmp_path / "plan.toml"))


def test_a_schedule_that_starts_too_high_is_refused(tiny: dict[str, Any], tmp_path: Path) -> None:
    tiny["pruning"]["methods"] = [{"schedule": "polynomial", "initial": 0.6}]
    with pytest.raises(PlanError, match=r"starts with sparsity 0\.6, above the wanted 0\.5"):
        preflight(plans.parse(tiny, tmp_path / "plan.toml"))


def test_how_a_variant_was_trained_is_said(subject: tuple[Plan, Data]) -> None:
    plan, data = subject
    made = means.means(plan, data, "cpu", nothing, Recipe(), seed=0, origin=0)
    for recipe, epochs in (
        (Recipe(), 1),
        (Recipe(schedule="iterative", epochs_per_round="shared"), 1),
        (Recipe(schedule="iterative"), 5),
        (Recipe(hardness="soft"), 1),
        (None, 1),
    ):
        assert means.trained_for(plan, recipe, made) == f"{epochs} further epochs"
    ticket = Recipe(schedule="iterative", steps=3, rewind="weights", rewind_to=0.25)
    assert means.trained_for(plan, ticket, made) == "3 × optimiser steps 3 to 12 of the dense training again"
    assert means.trained_for(plan, Recipe(recovery="none"), made) == "not fine-tuned"


def test_rounds_are_tuned_in_full_and_the_control_as_long_as_the_longest(
    tiny: dict[str, Any], write_plan: Write
) -> None:
    assert load(write_plan(tiny)).control_epochs == 1  # one-shot methods alone: as before
    tiny["pruning"] |= {"methods": ["global-magnitude", "iterative-magnitude"], "finetune_epochs": 2}
    plan = load(write_plan(tiny))
    data = preflight(plan).data
    assert plan.pruning is not None
    assert (plan.finetune_epochs, plan.control_epochs) == (2, 10)
    lengths = {}
    for name, recipe in plan.pruning.recipes.items():
        made = means.means(plan, data, "cpu", nothing, recipe, seed=0, origin=0)
        assert made.finetune is not None
        lengths[name] = made.finetune.epochs
        assert means.trained_for(plan, recipe, made) == f"{lengths[name]} further epochs"
    assert means.trained_for(plan, None) == "10 further epochs"
    assert lengths == {"global-magnitude": 2, "iterative-magnitude": 10}
    work = units(plan, data, "cpu")
    assert [unit.variant for unit in work if unit.kind == "control"] == ["dense-finetuned"]
    changed = units(
        load(write_plan(tiny | {"pruning": tiny["pruning"] | {"methods": ["random"]}})), data, "cpu"
    )
    control = [next(u.id for u in some if u.kind == "control") for some in (work, changed)]
    assert control[0] != control[1]


MINE = [
    "iterative-magnitude", "gradual-magnitude", "iterative-filter", "lottery-ticket", "lr-rewind",
    "soft-magnitude", "soft-filter", "soft-threshold", "attenuation", "magnitude-as-cut",
    "magnitude-bn-recalibrated",
]  # fmt: skip


def test_every_way_is_swept_without_a_failed_row(
    tiny: dict[str, Any], write_plan: Write, tmp_path: Path, execute: Callable[..., runner.Outcome]
) -> None:
    tiny["pruning"] |= {"methods": MINE, "sparsities": [0.8]}
    tiny["probes"] = {"skip": ["evasion", "membership", "extraction", "tampering"]}
    outcome = execute(write_plan(tiny), tmp_path / "out")
    assert outcome.failed == 0
    with closing(sqlite3.connect(tmp_path / "out" / runner.RESULTS)) as db:
        rows = db.execute("SELECT count(*) FROM measurement WHERE status != 'ok'").fetchone()
        made = dict(db.execute("SELECT method, achieved_sparsity FROM variant").fetchall())
        figures = {
            (variant, metric): value
            for variant, metric, value in db.execute("SELECT variant, metric, value FROM measurement")
        }
    assert rows == (0,)
    for method in MINE:
        wanted = 0.0 if method == "attenuation" else 0.8
        assert made[method] == pytest.approx(wanted, abs=0.01 if "filter" in method else 1e-4)
    masked, removed = "gradual-magnitude@0.8", "soft-filter@0.8"
    assert figures[masked, "compressed_bytes"] < 0.4 * figures[masked, "bytes"]
    assert figures[removed, "bytes"] < 0.4 * figures["dense", "bytes"]
    assert figures[masked, "nonzero_macs"] < figures[masked, "macs"] == figures["dense", "macs"]
    assert figures[removed, "nonzero_macs"] == figures[removed, "macs"] < figures["dense", "macs"]


def test_balancing_is_told_and_changes_what_comes_of_fine_tuning(
    tiny: dict[str, Any], write_plan: Write, execute: Execute, tmp_path: Path
) -> None:
    tiny["pruning"] |= {"methods": ["global-magnitude", "private-magnitude"], "finetune_epochs": 2}
    tiny["probes"] = {"skip": ["evasion", "extraction", "membership"]}
    assert execute(write_plan(tiny), tmp_path / "out").failed == 0
    found = read(tmp_path / "out").variants.set_index("method")
    notes = found["note"]
    assert notes["private-magnitude"] == "2 further epochs with posteriors balanced in pairs, λ = 4"
    assert notes["global-magnitude"] == "2 further epochs"
    assert found["digest"].nunique() == len(found)
