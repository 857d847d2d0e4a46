"""Models that are programs in a file: they answer, and what needs more is not applicable, in words."""

import csv
import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import nn

from audit.errors import AuditError, PlanError, RefusedError
from audit.plan import load
from audit.preflight import examine, preflight
from audit.subject import black_box

BATCH = 7
"""The ONNX program takes batches of this size alone."""


def onnx_file(path: Path, weights: Any, bias: Any, batch: int | str) -> None:
    """A linear model, written by the makers of ONNX."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["x"], ["flat"]),
            helper.make_node("Gemm", ["flat", "w", "b"], ["y"], transB=1),
        ],
        "linear",
        [helper.make_tensor_value_info("x", kind, [batch, 1, 8, 8])],
        [helper.make_tensor_value_info("y", kind, [batch, 10])],
        [
            onnx.numpy_helper.from_array(np.float32(weights), "w"),
            onnx.numpy_helper.from_array(np.float32(bias), "b"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As a user has it: data, and a model that another library trained, in three forms."""
    folder = tmp_path_factory.mktemp("programs")
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    theirs = LogisticRegression(max_iter=500).fit(x[:900], y[:900])
    images = x.reshape(-1, 1, 8, 8)
    np.savez(folder / "d.npz", x_train=images[:900], y_train=y[:900], x_test=images[900:], y_test=y[900:])
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    with torch.no_grad():
        model[1].weight.copy_(torch.from_numpy(theirs.coef_))
        model[1].bias.copy_(torch.from_numpy(theirs.intercept_))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of how it writes them
        torch.jit.trace(model, torch.zeros(1, 1, 8, 8)).save(str(folder / "m.pt"))
        batch = torch.export.Dim("batch")
        exported = torch.export.export(model, (torch.zeros(2, 1, 8, 8),), dynamic_shapes=({0: batch},))
        torch.export.save(exported, folder / "m.pt2")
    np.savez(
        folder / "truth.npz", logits=theirs.decision_function(x[900:]), w=theirs.coef_, b=theirs.intercept_
    )
    return folder


def plan(folder: Path, build: str, *more: str, trust: bool = True) -> Path:
    path = folder / "plan.toml"
    lines = [
        "[model]", f'build = "{build}"', "trust = true" if trust else "", "[data]", 'source = "npz:d.npz"',
        "audit_examples = 24", *more,
    ]  # fmt: skip
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["torchscript:m.pt", "export:m.pt2", "onnx:any.onnx", "onnx:fixed.onnx"])
def test_a_program_answers_as_its_maker_says(folder: Path, kind: str) -> None:
    truth = np.load(folder / "truth.npz")
    if kind.startswith("onnx"):
        batch = BATCH if "fixed" in kind else "n"
        onnx_file(folder / kind.partition(":")[2], truth["w"], truth["b"], batch)
    subject = preflight(load(plan(folder, kind)))
    model = black_box.build(subject.plan)
    x = torch.from_numpy(np.load(folder / "d.npz")["x_test"])[:24]
    np.testing.assert_allclose(model(x), truth["logits"][:24], atol=1e-4)
    inputs = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(inputs).square().sum(), inputs)
    assert not gradient.any()
    assert examine(subject).findings == ()


def test_nothing_is_run_without_consent(folder: Path) -> None:
    with pytest.raises(PlanError, match="runs the program in the file.*trust = true"):
        preflight(load(plan(folder, "torchscript:m.pt", trust=False)))


@pytest.mark.parametrize(
    ("build", "more", "error", "said"),
    [
        ("torchscript:absent.pt", (), RefusedError, "absent.pt: No such file"),
        ("torchscript:d.npz", (), RefusedError, "is no torchscript program"),
        ("torchscript:m.pt", ("[pruning]", "finetune_epochs = 0"), PlanError, "cannot be pruned"),
        ("torchscript:m.pt", ("[train]", "epochs = 1"), PlanError, "black box"),
        ("torchscript:m.pt", ("[[variant]]", 'name = "a"', 'weights = "a.pt"'), PlanError, "black box"),
    ],
)
def test_what_a_black_box_cannot_have_is_refused_in_words(
    folder: Path, build: str, more: tuple[str, ...], error: type[AuditError], said: str
) -> None:
    with pytest.raises(error, match=said):
        preflight(load(plan(folder, build, *more)))


def test_weights_beside_a_program_are_refused(folder: Path) -> None:
    path = plan(folder, "torchscript:m.pt")
    path.write_text(path.read_text().replace("trust = true", 'weights = "w.pt"'))
    with pytest.raises(PlanError, match="holds its own"):
        load(path)


def test_from_a_program_to_a_report(folder: Path) -> None:
    more = (
        "[probes.evasion]", 'level = "quick"', "queries = 40", "eps = [0.02, 0.4]", "[probes.extraction]",
        'level = "quick"', "queries = [100]", "epochs = 2",
    )  # fmt: skip
    path = plan(folder, "torchscript:m.pt", *more)
    result = subprocess.run(
        [sys.executable, "-m", "audit", "run", path, "--out", folder / "out", "--engine", "inline"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    with (folder / "out/measurements.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found: dict[tuple[str, str], dict[str, str]] = {
        (
            row["metric"],
            json.loads(row["at"]).get("attack", "") + str(json.loads(row["at"]).get("eps", "")),
        ): row
        for row in rows
    }
    assert found["robust_accuracy", "pgd"]["status"] == "not_applicable"
    assert "black box" in found["robust_accuracy", "pgd"]["note"]
    small, large = (float(found["robust_accuracy", f"worst_case{eps}"]["value"]) for eps in (0.02, 0.4))
    assert large < 0.2 < small  # a linear model withstands nothing large: queries alone find that
    assert found["robust_accuracy", "square0.4"]["status"] == "ok"
    assert float(found["attack_health", ""]["value"]) >= 0
    flags = {json.loads(r["at"])["flag"]: r for r in rows if r["metric"] == "attack_health"}
    assert float(flags["zero_gradients"]["value"]) == 1  # it is said that gradients told nothing
    assert found["membership_auc", "loss"]["status"] == "ok"
    assert float(found["extraction_fidelity", "knockoff"]["value"]) > 0.2
    assert {r["status"] for r in rows if r["probe"] == "tampering"} == {"not_applicable"}
    assert any("black box" in r["note"] for r in rows if r["probe"] == "tampering")
    assert found["parameters", ""]["status"] == "not_applicable"
    assert "given as a black box" in (folder / "out/report.html").read_text(encoding="utf-8")


def test_another_program_is_another_subject(
    folder: Path, tmp_path: Path, execute: Callable[..., Any]
) -> None:
    """Weights that ONNX keeps in a file of their own count too."""
    model = black_box.build(load(plan(folder, "torchscript:m.pt")))
    assert [f.name for f in black_box.files(folder / "m.pt")] == ["m.pt"]
    (folder / "m.pt.data").write_bytes(b"weights")
    assert [f.name for f in black_box.files(folder / "m.pt")] == ["m.pt", "m.pt.data"]
    other = black_box.build(load(plan(folder, "torchscript:m.pt")))
    (folder / "m.pt.data").unlink()
    assert not torch.equal(model.digest, other.digest)
