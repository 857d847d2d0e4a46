"""The plan: what is wrong in it is said with file, key and remedy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file

from attacks.registry import probes
from audit import plan as plans
from audit.errors import PlanError
from audit.plan import Plan, load, parse
from audit.preflight import preflight
from audit.zoo import digits_cnn

Write = Callable[[dict[str, Any]], Path]


def put(table: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    *path, last = key.split(".")
    inner = table
    for part in path:
        inner = inner.setdefault(part, {})
    inner[last] = value
    return table


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("model.bild", "x", "model.bild: unknown key"),
        ("colour", 1, "colour: unknown key"),
        ("train.epochs", 0, "train.epochs"),
        ("train.epochs", "ten", "train.epochs"),
        ("train.optimiser", "adamw", "train.optimiser"),
        ("data.bounds", [1, 0], "data.bounds: the lower bound 1.0 is not below"),
        ("data.audit_examples", -5, "data.audit_examples"),
        ("pruning.sparsities", [0.5, 1.0], "pruning.sparsities.1"),
        ("pruning.sparsities", [1.5], "pruning.sparsities.0"),
        ("pruning.sparsities", [0.5, 0.5], "given twice: 0.5"),
        ("pruning.sparsities", [], "pruning.sparsities"),
        ("pruning.seeds", [0, 0], "given twice: 0"),
        ("pruning.methods", ["global-magnitud"], "global-magnitude"),
        ("probes.evasionn", {}, "there is no probe 'evasionn'; there are: accuracy, evasion"),
        ("probes.evasion.epz", [0.1], "probes.evasion.epz: unknown key"),
        ("probes.evasion.adaptive", "mine.py", "probes.evasion.adaptive: name your function"),
        ("probes.evasion.eps", [], "probes.evasion.eps"),
        ("probes.evasion.eps", ["8/0"], "probes.evasion.eps"),
        ("probes.skip", ["evazion"], "there is no probe 'evazion'"),
        ("model.normalise", {"mean": [0.1, 0.2], "std": [1.0]}, "mean has 2 values and std has 1"),
        ("model.normalise", {"mean": [0.1], "std": [0.0]}, "model.normalise.std.0"),
        ("name", "x", "name: unknown key"),
        ("variant", [{"name": "dense", "weights": "a.safetensors"}], "'dense' is reserved"),
    ],
)  # fmt: skip
def test_mistakes_name_file_and_key(
    tiny: dict[str, Any], write_plan: Write, key: str, value: Any, said: str
) -> None:
    path = write_plan(put(tiny, key, value))
    with pytest.raises(PlanError) as error:
        load(path)
    assert str(path) in str(error.value)
    assert said in str(error.value)


def test_a_plan_that_names_no_probe_runs_all_of_them(tiny: dict[str, Any], write_plan: Write) -> None:
    tiny.pop("probes", None)
    bare = load(write_plan(tiny))
    assert list(bare.probes) == list(probes())
    assert bare.settings["evasion"] == probes()["evasion"].settings()


def test_training_recipe_is_needed_without_weights(tiny: dict[str, Any], write_plan: Write) -> None:
    del tiny["train"]
    with pytest.raises(PlanError, match=r"\[train\] table must say how"):
        load(write_plan(tiny))


def test_files_that_are_no_plan(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="no such file"):
        load(tmp_path / "absent.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("[model\n", encoding="utf-8")
    with pytest.raises(PlanError, match="not valid TOML"):
        load(broken)
    broken.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PlanError, match="cannot be read"):
        load(broken)


def test_defaults_are_filled_in_so_that_equal_plans_are_equal(
    tiny: dict[str, Any], write_plan: Write
) -> None:
    implicit = load(write_plan(tiny))
    put(tiny, "data.bounds", [0.0, 1.0])
    put(tiny, "probes.accuracy", {})
    assert load(write_plan(tiny)).model_dump(mode="json") == implicit.model_dump(mode="json")


def test_skip_leaves_a_probe_out(tiny: dict[str, Any], write_plan: Write) -> None:
    plan = load(write_plan(put(tiny, "probes.skip", ["membership"])))
    assert "membership" not in plan.settings
    assert {"accuracy", "evasion", "extraction"} <= plan.settings.keys()


def test_fractions_are_input_units(tiny: dict[str, Any], write_plan: Write) -> None:
    plan = load(write_plan(put(tiny, "probes.evasion.eps", ["8/255", "16/255"])))
    assert plan.settings["evasion"].eps == pytest.approx((8 / 255, 16 / 255))  # type: ignore[attr-defined]


def test_quick_shrinks(tiny: dict[str, Any], write_plan: Write) -> None:
    put(tiny, "pruning.sparsities", [0.5, 0.75, 0.9])
    put(tiny, "pruning.seeds", [4, 5])
    put(tiny, "data.audit_examples", 500)
    tiny["probes"]["evasion"]["level"] = "thorough"
    plan = load(write_plan(tiny), quick=True)
    assert plan.settings["evasion"].level == "quick"  # type: ignore[attr-defined]
    assert plan.pruning is not None
    assert plan.pruning.sparsities == (0.5, 0.9)
    assert plan.pruning.seeds == (4,)
    assert plan.data.audit_examples == 200
    assert plan.name == "plan-quick"


def test_a_plan_cannot_be_changed(tiny: dict[str, Any], write_plan: Write) -> None:
    plan: Plan = load(write_plan(tiny))
    with pytest.raises(ValueError, match="frozen"):
        plan.model.build = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    "plan", [*sorted(Path(plans.__file__).parent.glob("plans/**/*.toml")), Path("examples/mnist.toml")]
)
def test_shipped_plans_are_valid(plan: Path) -> None:
    path = plan if plan.is_absolute() else Path(__file__).parents[2] / plan
    assert load(path).model.build


def test_a_method_that_looks_at_training_data_wants_some(
    tiny: dict[str, Any], write_plan: Write, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((60, 1, 8, 8), np.float32), np.arange(60) % 10
    np.savez(tmp_path / "data.npz", x_test=x, y_test=y)
    save_file(digits_cnn().state_dict(), tmp_path / "model.safetensors")
    tiny["data"] = {"source": "npz:data.npz", "audit_examples": 20}
    tiny["model"]["weights"] = "model.safetensors"
    tiny["pruning"] |= {"methods": ["taylor"], "finetune_epochs": 0}
    with pytest.raises(PlanError, match=r"methods: taylor: criterion 'taylor' .* no train split"):
        preflight(load(write_plan(tiny)))


def test_a_layer_to_leave_alone_that_is_not_there_is_named(tiny: dict[str, Any], tmp_path: Path) -> None:
    tiny["pruning"]["methods"] = [{"exclude": ["conv9"]}]
    with pytest.raises(PlanError, match=r"no prunable layer is named 'conv9'; there are: 0, 2, 6, 8"):
        preflight(parse(tiny, tmp_path / "plan.toml"))
