"""ε that a plan does not name follows the kind of its data; what a policy asks for beside it is said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audit import epsilon
from audit.errors import PlanError
from audit.plan import load
from audit.preflight import preflight
from audit.subject import data as subject_data

Write = Callable[[dict[str, Any]], Path]


@pytest.fixture
def planned(tiny: dict[str, Any], write_plan: Write, tmp_path: Path) -> Callable[..., Any]:
    """The tiny plan on inputs of a shape, with ε left to the data; and what was made of it."""

    def make(shape: tuple[int, ...], scale: float = 1.0, **evasion: Any) -> Any:
        rng = np.random.default_rng(0)
        x = (rng.random((40, *shape)) * scale).astype(np.float32)
        y = np.arange(40) % 10
        np.savez(tmp_path / "data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
        tiny["data"] = {"source": "npz:data.npz", "bounds": [0, scale]}
        tiny["model"] = {"build": "audit.zoo:paper_mlp"}
        tiny["probes"]["evasion"] = {"level": "quick", **evasion}
        plan = load(write_plan(tiny))
        data = subject_data.load(plan)
        return epsilon.filled(plan, data), data

    return make


@pytest.mark.parametrize(
    ("shape", "scale", "kind", "eps"),
    [
        ((1, 8, 8), 1, "small grey images", [0.05, 0.1, 0.15, 0.2]),
        ((1, 28, 28), 1, "grey images", [0.1, 0.2, 0.3]),
        ((3, 32, 32), 1, "images", [2 / 255, 4 / 255, 8 / 255]),
        ((3, 32, 32), 255, "images", [2, 4, 8]),
        ((1, 64, 64), 1, "images", [2 / 255, 4 / 255, 8 / 255]),
        ((1, 400), 1, "signals", [0.02, 0.05, 0.1]),
        ((30,), 50, "tables", [0.1, 0.25, 0.5]),
    ],
)
def test_the_kind_of_data_says_which(
    shape: tuple[int, ...], scale: float, kind: str, eps: list[float], planned: Callable[..., Any]
) -> None:
    plan, data = planned(shape, scale)
    assert epsilon.kind(data) == kind
    assert plan.probes["evasion"]["eps"] == pytest.approx(eps)
    std = plan.data.features is not None and plan.data.features.scale == "std"
    assert std is (kind in ("signals", "tables"))
    said = epsilon.sentence(plan, data)
    assert f"the default for {kind}" in said
    assert ("standard deviations" in said) is std
    assert plan.settings["evasion"].eps == pytest.approx(tuple(eps))


def test_what_the_plan_says_stays(planned: Callable[..., Any]) -> None:
    plan, data = planned((30,), eps=[0.3])
    assert plan.probes["evasion"]["eps"] == [0.3]
    assert plan.data.features is None
    assert "0.3, in input units (of the plan)" in epsilon.sentence(plan, data)


def test_l2_has_radii_of_its_own(planned: Callable[..., Any]) -> None:
    plan, data = planned((3, 32, 32), norms=["linf", "l2"])
    assert plan.probes["evasion"]["eps"]["l2"] == pytest.approx([0.11, 0.22, 0.43])
    assert "l2 0.11" in epsilon.sentence(plan, data)


def test_constant_features_of_a_table_are_left_alone(
    tiny: dict[str, Any], write_plan: Write, tmp_path: Path
) -> None:
    x = np.random.default_rng(0).random((40, 100)).astype(np.float32)
    x[:, [3, 7]] = 0.5
    np.savez(
        tmp_path / "data.npz", x_test=x, y_test=np.arange(40) % 10, x_train=x, y_train=np.arange(40) % 10
    )
    tiny |= {"data": {"source": "npz:data.npz"}, "model": {"build": "audit.zoo:paper_mlp"}}
    del tiny["probes"]["evasion"]["eps"]
    subject = preflight(load(write_plan(tiny)))
    assert subject.plan.data.features is not None
    assert subject.plan.data.features.immutable == (3, 7)


def test_eps_unit_is_short_for_the_scale_of_features(tiny: dict[str, Any], write_plan: Write) -> None:
    tiny["probes"]["evasion"]["eps_unit"] = "std"
    features = load(write_plan(tiny)).data.features
    assert features is not None
    assert features.scale == "std"
    tiny["probes"]["evasion"]["eps_unit"] = "input"
    assert load(write_plan(tiny)).data.features is None
    tiny["probes"]["evasion"]["eps_unit"] = "pixels"
    with pytest.raises(PlanError, match=r'plan.toml: probes.evasion.eps_unit: must be "input" or "std"'):
        load(write_plan(tiny))
    tiny["probes"]["evasion"]["eps_unit"] = "std"
    tiny["data"]["features"] = {"scale": [2.0]}
    with pytest.raises(PlanError, match="differ: remove one"):
        load(write_plan(tiny))


def test_what_a_policy_asks_for_and_the_plan_lacks_is_said(tiny: dict[str, Any], write_plan: Write) -> None:
    plan = load(write_plan(tiny))  # L∞ at 0.05 and 0.2
    rules: list[tuple[str, dict[str, Any]]] = [
        ("a", {"eps": 0.05, "norm": "linf"}),
        ("b", {"eps": 0.1}),
        ("c", {"norm": "l2"}),
        ("d", {"attack": "worst_case"}),
        ("e", {"eps": "smallest"}),
    ]
    assert epsilon.missing(plan, rules) == [
        "rule b is about ε = 0.1, and [probes.evasion] eps lacks it",
        "rule c is about norm l2, and [probes.evasion] norms lacks it",
    ]
