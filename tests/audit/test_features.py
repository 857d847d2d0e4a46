"""[data.features]: what a plan says of a table's features, and what is wrong with it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from attacks import evasion
from attacks.probe import Target
from audit.errors import PlanError
from audit.plan import load
from audit.preflight import preflight
from audit.subject import models
from audit.subject.features import features
from audit.units import units

Write = Callable[[dict[str, Any]], Path]


@pytest.fixture
def table(tiny: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """Age, income, a category and a constant; a linear model."""
    luck = np.random.default_rng(0)
    x = np.stack(
        [luck.integers(18, 90, 80), luck.normal(40_000, 9_000, 80), luck.integers(0, 4, 80), np.full(80, 7)],
        1,
    ).astype(np.float32)
    y = (x[:, 0] > 50).astype(np.int64)
    np.savez(tmp_path / "table.npz", x_train=x[:50], y_train=y[:50], x_test=x[50:], y_test=y[50:])
    (tmp_path / "net.py").write_text("import torch\ndef build():\n    return torch.nn.Linear(4, 2)\n")
    tiny["model"] = {"build": "net.py:build"}
    tiny["data"] = {
        "source": "npz:table.npz",
        "features": {
            "bounds": [[18, 90], [0, 1e6], [0, 3], [0, 10]],
            "scale": "std",
            "immutable": [2, 3],
        },
    }
    tiny["pruning"] = {"methods": ["global-magnitude"], "sparsities": [0.5], "seeds": [0]}
    tiny["probes"] = {"evasion": {"level": "quick", "eps": [0.5]}, "skip": ["extraction"]}
    return tiny


def test_a_plan_s_features_are_those_that_evasion_holds_to(table: dict[str, Any], write_plan: Write) -> None:
    plan = load(write_plan(table))
    assert plan.data.bounds == (0, 1e6)  # of all features together
    data = preflight(plan).data
    found = features(plan, data)
    assert found is not None
    assert data.train is not None
    assert torch.allclose(found.scale[:2], data.train.x.double().std(dim=0)[:2])
    assert found.low.tolist() == [18, 0, 0, 0]
    assert found.high.tolist() == [90, 1e6, 3, 10]
    assert found.mutable.tolist() == [True, True, False, False]
    model = models.wrap(models.fresh(models.builder(plan, data), 0), plan, data)
    target = Target(model, 2, data.bounds, data.test, features=found)
    rows = evasion.run(target, plan.settings["evasion"], torch.Generator())
    assert any("2 of 4 features cannot change" in row.note for row in rows if row.status == "ok")


def test_features_rename_evasion_alone(table: dict[str, Any], write_plan: Write) -> None:
    def ids() -> dict[str, str]:
        plan = load(write_plan(table))
        return {unit.label: unit.id for unit in units(plan, preflight(plan).data, "cpu")}

    table["probes"]["evasion"]["transfer"] = True
    before = ids()
    table["data"]["features"]["immutable"] = [1, 2, 3]
    changed = {label for label, name in ids().items() if before[label] != name}
    assert changed == {label for label in before if label.startswith(("evasion ", "perturb for "))}


def test_channels_of_images_are_features(tiny: dict[str, Any], write_plan: Write) -> None:
    tiny["data"]["features"] = {"scale": [0.5]}
    plan = load(write_plan(tiny))
    found = features(plan, preflight(plan).data)
    assert found is not None
    assert found.scale.shape == (1, 1, 1)
    assert (float(found.scale), found.reach) == (0.5, 2.0)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("bounds", [[18, 90], [0, 1e6], [0, 3]], r"\[data.features\] bounds: 3 values for 4 features"),
        ("bounds", [[18, 60], [0, 1e6], [0, 3], [0, 10]], r"bounds: feature 0 spans .* outside \[18, 60\]"),
        ("bounds", [[90, 18]], "data.features.bounds.*the lower bound 90.0 is not below"),
        ("bounds", [[1]], "data.features.bounds"),
        ("bounds", "wide", "data.features.bounds"),
        ("scale", [1.0, 2.0], r"\[data.features\] scale: 2 values for 4 features"),
        ("scale", [0.0], "data.features.scale"),
        ("scale", "mad", "data.features.scale"),
        ("immutable", [4], "immutable: 4: there are only 4 features"),
        ("immutable", [0, 1, 2, 3], "immutable: names every feature"),
        ("immutable", [-1], "data.features.immutable"),
        ("immutable", [2], "feature 3 is the same in all examples and has no scale: name it in immutable"),
        ("colour", 1, "data.features.colour: unknown key"),
    ],
)
def test_what_does_not_fit_is_a_plan_error(
    table: dict[str, Any], write_plan: Write, key: str, value: object, message: str
) -> None:
    table["data"]["features"][key] = value
    with pytest.raises(PlanError, match=message):
        preflight(load(write_plan(table)))


def test_epsilon_beyond_the_widest_feature_is_a_plan_error(table: dict[str, Any], write_plan: Write) -> None:
    table["data"]["features"]["scale"] = [100.0, 1e6, 1.0, 1.0]
    table["probes"]["evasion"]["eps"] = [1.5]
    with pytest.raises(PlanError, match=r"\[probes.evasion\].*1.5 is larger than the width"):
        preflight(load(write_plan(table)))
