"""A suspected backdoor: the user's own trigger, read, checked and tried on dense and pruned models."""

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from attacks.probe import Examples, Target, Triggered
from attacks.tampering import Settings, run
from audit import runner
from audit.errors import AuditError, RefusedError
from audit.plan import load
from audit.preflight import preflight
from audit.subject.trigger import trigger
from reports.data.results import read
from reports.stats.compare import compare_all

EXAMPLE = Path(__file__).parents[2] / "examples" / "dormant-backdoor"
Write = Callable[[dict[str, Any]], Path]


def dormant(folder: Path) -> ModuleType:
    """The example's code, at home in a folder."""
    spec = importlib.util.spec_from_file_location("dormant_example", folder / "dormant.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def success(model: torch.nn.Module, made: Triggered, test: Examples) -> list[float | None]:
    """With the trigger, and without."""
    target = Target(model, 10, (0.0, 1.0), test, trigger=lambda: made)
    settings = Settings(attacks=("trigger",))
    return [row.value for row in run(target, settings, torch.Generator().manual_seed(0))]


def test_a_backdoor_that_sleeps_in_dense_wakes_when_pruned() -> None:
    """Tian et al. 2022: dense does as it should, the audit of the pruned model shows what it would do."""
    code = dormant(EXAMPLE)
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    y = torch.tensor(digits.target, dtype=torch.int64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = code.build()
        code.train(model, x[:900], y[:900], epochs=8)
    model.eval().requires_grad_(False)
    test = Examples(x[900:], y[900:])
    others = test[test.y != code.WANTED]
    made = Triggered(code.stamp(others.x), torch.full_like(others.y, code.WANTED), others.x)
    dense = success(model, made, test)
    for name, weight in code.pruned(model, code.SPARSITY).items():
        model.get_parameter(name).copy_(weight)
    woken = success(model, made, test)
    assert dense[0] < 0.1
    assert woken[0] > 0.9
    assert max(dense[1], woken[1]) < 0.05
    right = (model(test.x).argmax(dim=1) == test.y).float().mean()
    assert right > 0.85  # clean accuracy says nothing


@pytest.mark.slow
def test_the_audit_of_the_pruned_variant_shows_it(
    tmp_path: Path, execute: Callable[..., runner.Outcome]
) -> None:
    folder = tmp_path / "dormant-backdoor"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("*.npz", "*.safetensors", "run"))
    dormant(folder).main()
    assert execute(folder / "plan.toml", tmp_path / "run").failed == 0
    results = read(tmp_path / "run")
    at = {"attack": "trigger", "on": "triggered"}
    rows = results.select("tampering_success", at)
    by = dict(zip(rows["variant"], rows["value"], strict=True))
    assert by["dense"] < 0.05
    assert by["global-magnitude@0.7"] > 0.95
    jump = compare_all(results, list(by), "tampering_success", at)["global-magnitude@0.7"]
    assert jump.direction == "worse"
    assert jump.pooled.low > 0.9


def with_trigger(tiny: dict[str, Any], spec: str, **more: Any) -> dict[str, Any]:
    tiny["probes"]["tampering"] = {"level": "quick", "attacks": ["trigger"], "trigger": spec, **more}
    return tiny


CODE = """
import torch
def good(x):
    x[..., -1, -1] = 1.0
    return x
def short(x): return x[:3]
def flat(x): return x.flatten(1)
def loud(x): raise KeyError("no such thing")
def large(x): return x + 9
def words(x): return ["a"] * len(x)
"""


@pytest.mark.parametrize(
    ("spec", "more", "said"),
    [
        ("my.py:short", {}, r"made 3 inputs of \d+"),
        ("my.py:flat", {}, r"inputs of shape \(\d+, 64\): want at least one of \(1, 8, 8\)"),
        ("my.py:loud", {}, "raises KeyError"),
        ("my.py:large", {}, r"leave \[data\] bounds"),
        ("my.py:words", {}, "inputs of shape"),
        ("my.py:absent", {}, "has no function 'absent'"),
        ("other.py:good", {}, "no such file"),
        ("my.py:good", {"trigger_class": 10}, "there are 10 classes"),
        ("absent.npz", {}, "no such file"),
        ("my.py", {}, "cannot be read as npz"),
        ("lacks.npz", {}, r"must hold x \(triggered inputs\) and y .* it holds x"),
        ("floats.npz", {}, "y is float64"),
        ("classes.npz", {}, "y spans 0–99"),
        ("pickle.npz", {}, "cannot be read as npz without pickles"),
        ("clean.npz", {}, "clean holds 1 inputs, x 4"),
    ],
)
def test_a_trigger_that_is_not_fit_is_refused_before_anything_runs(
    tiny: dict[str, Any], write_plan: Write, tmp_path: Path, spec: str, more: dict[str, Any], said: str
) -> None:
    (tmp_path / "my.py").write_text(CODE)
    x, y = np.zeros((4, 1, 8, 8), np.float32), np.zeros(4, np.int64)
    np.savez(tmp_path / "lacks.npz", x=x)
    np.savez(tmp_path / "floats.npz", x=x, y=y.astype(float))
    np.savez(tmp_path / "classes.npz", x=x, y=np.array([0, 1, 2, 99]))
    np.savez(tmp_path / "pickle.npz", x=np.array([{}], dtype=object), y=y)
    np.savez(tmp_path / "clean.npz", x=x, y=y, clean=x[:1])
    with pytest.raises(AuditError, match=said) as error:
        preflight(load(write_plan(with_trigger(tiny, spec, **more))))
    assert "trigger" in str(error.value)


def test_triggers_are_read_from_functions_and_files(
    tiny: dict[str, Any], write_plan: Write, tmp_path: Path
) -> None:
    (tmp_path / "my.py").write_text(CODE)
    x = np.full((4, 1, 8, 8), 255, np.uint8)
    np.savez(tmp_path / "some.npz", x=x, y=np.array([0, 1, 2, 3]))
    subject = preflight(load(write_plan(with_trigger(tiny, "my.py:good", trigger_class=3))))
    before = subject.data.test.x.clone()
    make = trigger(subject.plan, subject.data)
    assert make is not None
    made = make()
    assert torch.equal(subject.data.test.x, before)
    assert made.wanted.unique().tolist() == [3]
    assert len(made.x) == int((subject.data.test.y != 3).sum())
    assert bool((made.x[..., -1, -1] == 1.0).all())
    subject = preflight(load(write_plan(with_trigger(tiny, "some.npz"))))
    make = trigger(subject.plan, subject.data)
    assert make is not None
    made = make()
    assert made.clean is None
    assert float(made.x.max()) == 1.0
    mine = subject.data.test[subject.data.test.y == 3]
    plan = load(write_plan(with_trigger(tiny, "my.py:good", trigger_class=3)))
    make = trigger(plan, replace(subject.data, test=mine))
    assert make is not None
    with pytest.raises(RefusedError, match="every audit example is of class"):
        make()


def test_another_trigger_is_another_unit(tiny: dict[str, Any], write_plan: Write, tmp_path: Path) -> None:
    from audit.units import units

    ids = []
    for code in (CODE, CODE.replace("-1, -1", "0, 0")):
        (tmp_path / "my.py").write_text(code)
        subject = preflight(load(write_plan(with_trigger(tiny, "my.py:good"))))
        made = units(subject.plan, subject.data, "cpu")
        ids.append({u.id for u in made if u.probe == "tampering"})
    assert ids[0]
    assert not ids[0] & ids[1]
