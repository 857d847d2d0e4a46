"""The grid as plans, and the command that runs it: resuming, data that is not there, folders of others."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from audit import runner
from audit.cli import app
from audit.errors import PlanError, RefusedError
from audit.reproduce import experiment, grid, run
from audit.reproduce.grid import Cell, Scale, merged
from audit.subject import models
from audit.subject.data import Data
from pruning.prune import prune


def data_of(cell: Cell) -> Data:
    """What a model of that data set is built from; no file is read."""
    shape = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "cifar10": (3, 32, 32)}[cell.data]
    side = cell.table["data"].get("resize", shape[1])
    examples: Any = type("E", (), {"x": torch.rand(2, shape[0], side, side)})()
    return Data(None, examples, None, tuple("0123456789"), (0, 1), "")


@pytest.mark.parametrize("name", grid.scales())
def test_a_scale_is_a_list_of_plans_that_can_be_run(name: str, tmp_path: Path) -> None:
    (tmp_path / "cifar10").mkdir()
    scale = grid.scale(name)
    names = [cell.name for cell in scale.cells]
    assert len(set(names)) == len(names)
    assert {cell.defence for cell in scale.cells} == {"none", "adversarial"}
    for cell in scale.cells:
        plan = cell.plan(tmp_path)
        assert plan.pruning is not None
        assert len(plan.seeds) >= (5 if cell.data == "digits" and cell.defence == "none" else 3)
        assert plan.train is not None
        assert (plan.train.adversarial is not None) == (cell.defence == "adversarial")
        assert {"accuracy", "evasion", "membership", "extraction", "tampering"} <= set(plan.probes)
        if name != "demo" and cell.name == "digits-paper-net":
            assert "random" in [recipe.criterion for recipe in plan.pruning.recipes.values()]


def test_the_full_grid_has_every_method_of_the_paper_and_every_sparsity(tmp_path: Path) -> None:
    (tmp_path / "cifar10").mkdir()
    plan = grid.scale("full").cells[0].plan(tmp_path)
    assert plan.pruning is not None
    assert plan.pruning.sparsities == (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
    kinds = {
        (
            "layer-wise" if recipe.allocation == "layerwise" else recipe.granularity,
            "hard" if recipe.hardness == "hard" else "soft",
            recipe.gradual,
        )
        for recipe in plan.pruning.recipes.values()
        if recipe.criterion == "magnitude"
    }
    wanted = {
        (k, h, g) for k in ("layer-wise", "weight", "unit") for h in ("hard", "soft") for g in (True, False)
    }
    assert wanted <= kinds


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "full" else name for name in grid.scales()]
)
def test_every_sparsity_is_within_reach_of_units(name: str, tmp_path: Path) -> None:
    (tmp_path / "cifar10").mkdir()
    seen = set()
    for cell in grid.scale(name).cells:
        plan, data = cell.plan(tmp_path), data_of(cell)
        assert plan.pruning is not None
        if (at := (plan.model.build, data.input_shape)) in seen:
            continue
        seen.add(at)
        for method, recipe in plan.pruning.recipes.items():
            if recipe.granularity == "unit" and recipe.criterion in ("magnitude", "random"):
                if recipe.allocation == "layerwise":
                    continue  # it looks at data
                for sparsity in plan.pruning.sparsities:
                    made = prune(
                        models.fresh(models.builder(plan, data), 0), recipe, sparsity,
                        example_input=data.test.x, generator=torch.Generator().manual_seed(0),
                    )  # fmt: skip
                    assert made.achieved == pytest.approx(sparsity, abs=0.1), (cell.name, method)


def test_tables_are_merged_and_the_later_wins() -> None:
    one = {"a": {"b": 1, "c": 2}, "d": 3}
    assert merged(one, {"a": {"c": 4}, "e": 5}) == {"a": {"b": 1, "c": 4}, "d": 3, "e": 5}
    assert one == {"a": {"b": 1, "c": 2}, "d": 3}


def test_data_that_is_not_in_the_package_needs_a_root_and_a_name_must_be_known(tmp_path: Path) -> None:
    scale = grid.scale("standard")
    mnist = next(cell for cell in scale.cells if cell.data == "mnist")
    with pytest.raises(RefusedError, match="mnist is not part of this package: say --root"):
        mnist.plan(None)
    with pytest.raises(PlanError, match="--data imagenet: scale standard has digits, mnist"):
        scale.of(("imagenet",))
    assert {cell.data for cell in scale.of(("digits",))} == {"digits"}
    cifar = next(cell for cell in grid.scale("full").cells if cell.data == "cifar10")
    assert cifar.plan(tmp_path).data.source == "torchvision:CIFAR10"
    (tmp_path / "cifar10").mkdir()
    assert cifar.plan(tmp_path).data.source == "folder:cifar10"


@pytest.fixture
def small(tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Scale:
    """A scale of two tiny subjects, one of data that is not there; the experiment is one made-up trial."""
    tiny["probes"]["skip"] = ["evasion", "extraction", "membership", "tampering"]
    for probe in ("evasion", "extraction", "membership", "tampering"):
        del tiny["probes"][probe]
    mnist = merged(tiny, {"data": {"source": "torchvision:MNIST"}})
    scale = Scale(
        "demo", "two tiny subjects", ("nearly everything",), {"seeds": [0]},
        (Cell("tiny", "digits", "cnn", "none", tiny), Cell("tiny-mnist", "mnist", "cnn", "none", mnist)),
    )  # fmt: skip
    trial = experiment.Trial
    monkeypatch.setattr(experiment, "_trial", lambda data, *at: trial(*at, 0.9, 0.3, 0.95, 0.0))
    monkeypatch.setattr(grid, "scale", lambda name: scale)
    return scale


def reproduce(*words: str) -> Any:
    return CliRunner().invoke(app, ["reproduce", "--engine", "inline", *words])


def test_it_runs_says_what_is_not_tested_and_resumes(small: Scale, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = reproduce("--out", str(out))
    assert "tiny-mnist is not run: mnist is not part of this package: say --root" in first.output
    assert "In all about" in first.output
    assert "Left out: nearly everything" in first.output
    assert type(first.exception).__name__ == "IncompleteError"
    assert "1 of 2 subjects were not run: tiny-mnist" in str(first.exception)
    for name in ("claims.html", "claims.md", "claims.json", "experiment.json", "tiny/report.html"):
        assert (out / name).is_file(), name
    assert not (out / "tiny-mnist").exists()
    again = reproduce("--out", str(out), "--data", "digits")
    assert again.exit_code == 0, again.output
    assert "of 7 units" not in again.output  # nothing was computed again
    said = json.loads((out / "claims.json").read_text(encoding="utf-8"))
    assert "prune-audit reproduce --scale demo --data=digits" in json.dumps(said)


def test_an_estimate_runs_nothing(small: Scale, tmp_path: Path) -> None:
    found = reproduce("--out", str(tmp_path / "out"), "--estimate")
    assert found.exit_code == 0
    assert "tiny " in found.output
    assert "tiny-mnist" in found.output
    assert "not run: mnist is not part of this package" in found.output
    assert not (tmp_path / "out").exists()


def test_a_root_without_the_data_is_told_and_left_out(small: Scale, tmp_path: Path) -> None:
    found = reproduce("--out", str(tmp_path / "out"), "--root", str(tmp_path), "--data", "mnist")
    assert type(found.exception).__name__ == "IncompleteError"
    assert "MNIST is not in" in found.output


def test_a_folder_of_another_version_is_refused_with_the_difference(small: Scale, tmp_path: Path) -> None:
    asked = run.Asked(small, ("digits",), None, tmp_path, "inline", 1, "cpu", "test")
    quiet = Console(file=StringIO())
    run.run(asked, quiet, lambda line: None)
    other = merged(small.cells[0].table, {"train": {"epochs": 2}})
    changed = Scale("demo", "", (), {"seeds": [0]}, (Cell("tiny", "digits", "cnn", "none", other),))
    asked = run.Asked(changed, ("digits",), None, tmp_path, "inline", 1, "cpu", "test")
    with pytest.raises(PlanError, match=r"train\.epochs"):
        run.run(asked, quiet, lambda line: None)


def test_an_interrupted_subject_goes_on(
    small: Scale, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def stop(*_: object, **__: object) -> runner.Outcome:
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run", stop)
    found = reproduce("--out", str(tmp_path / "out"), "--data", "digits")
    assert found.exit_code == 130
    monkeypatch.undo()


def test_the_commit_is_said_and_unknown_outside_a_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run.commit()
    monkeypatch.setattr(run.shutil, "which", lambda name: None)
    assert run.commit() == "not known"
