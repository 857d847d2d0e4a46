"""The audit from Python: objects in, a run out, the same as a plan's."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from audit import Run, audit, handed
from audit.errors import PlanError, RefusedError

PROBES = {"evasion": {"level": "quick", "steps": 3, "eps": [0.1]}, "skip": ["extraction", "membership"]}


def digits() -> tuple[Tensor, Tensor]:
    found = load_digits()
    return torch.tensor(found.images[:, None] / 16, dtype=torch.float32), torch.tensor(found.target)


def build() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    x, y = digits()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = build()
        optimiser = torch.optim.Adam(net.parameters(), 1e-2)
        for _ in range(150):
            loss = nn.functional.cross_entropy(net(x[:900]), y[:900])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return net


@pytest.fixture(scope="module")
def run(trained: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Run:
    x, y = digits()
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    found = audit(
        trained, train=TensorDataset(x[:900], y[:900]), test=(x[900:], y[900:]), sparsities=[0.5],
        probes=PROBES, audit_examples=100, out=tmp_path_factory.mktemp("api") / "run", quiet=True,
    )  # fmt: skip
    assert trained.training, "the model is left in the mode that it was in"
    assert all(torch.equal(before[name], tensor) for name, tensor in trained.state_dict().items())
    return found


def test_a_model_and_arrays_give_a_run(run: Run, trained: nn.Module) -> None:
    assert run.results.names() == ["dense", "global-magnitude@0.5"]
    assert run.verdict in ("PASS", "FAIL", "INCONCLUSIVE", "NOT RUN")
    assert run.verdict != "PASS", "membership was not asked for, and a policy's rule is about it"
    x, y = digits()
    table = run.table
    clean = table[(table.metric == "accuracy") & (table.split == "train") & (table.variant == "dense")]
    with torch.no_grad():
        ours = float((trained.eval()(x[:900]).argmax(1) == y[:900]).float().mean())
    trained.train()
    assert clean["value"].item() == pytest.approx(ours)


def test_the_table_has_a_column_for_each_condition(run: Run) -> None:
    assert {"split", "norm", "eps", "attack", "value", "low", "high", "n", "status"} <= set(run.table)
    row = run.table[(run.table.metric == "robust_accuracy") & (run.table.attack == "worst_case")].iloc[0]
    assert (row["norm"], row["eps"]) == ("linf", 0.1)


def test_figures_are_matplotlibs(run: Run, tmp_path: Path) -> None:
    figure = run.figure("robustness")
    assert {line.get_label() for line in figure.axes[0].lines} == {"dense", "global-magnitude@0.5"}
    figure.savefig(tmp_path / "figure.png")
    run.figure("accuracy")
    with pytest.raises(ValueError, match="it was not measured"):
        run.figure("extraction")
    with pytest.raises(ValueError, match="choose from robustness"):
        run.figure("beauty")


def test_a_run_is_shown_and_saved(run: Run, tmp_path: Path) -> None:
    assert run.verdict in run._repr_html_()
    assert str(run).startswith(run.verdict)
    assert "<html" in run.save(tmp_path / "report.html").read_text(encoding="utf-8")
    assert len(pd.read_csv(run.save(tmp_path / "m.csv"))) == len(run.table)
    with pytest.raises(ValueError, match="nothing is written as that"):
        run.save(tmp_path / "report.docx")
    back = pd.read_parquet(run.save(tmp_path / "measurements.parquet"))
    assert list(back) == list(run.table)
    assert back["value"].equals(run.table["value"].reset_index(drop=True))


def test_the_same_audit_computes_nothing_again(run: Run, trained: nn.Module) -> None:
    x, y = digits()
    before = (run.folder / "run.sqlite").stat().st_mtime_ns
    again = audit(
        trained, train=DataLoader(TensorDataset(x[:900], y[:900]), 64, shuffle=True), test=(x[900:], y[900:]),
        sparsities=[0.5], probes=PROBES, audit_examples=100, out=run.folder, quiet=True,
    )  # fmt: skip
    assert again.table.equals(run.table)
    assert list(again.results.units["finished"]) == list(run.results.units["finished"]), before


def test_a_copy_to_train_anew_knows_nothing_of_the_model(trained: nn.Module) -> None:
    x, y = digits()
    copy = handed.anew(trained).eval()
    with torch.no_grad():
        assert float((copy(x[:900]).argmax(1) == y[:900]).float().mean()) < 0.4
    assert all(p.requires_grad for p in copy.parameters())

    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.rand(64, 10))

        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1) @ self.w

    with pytest.raises(PlanError, match=r"nothing initialises anew \(w\)"):
        audit(Bare(), test=(x, y), quiet=True)


def test_mistakes_are_said_as_on_the_command_line(trained: nn.Module) -> None:
    x, y = digits()
    with pytest.raises(RefusedError, match="test-in-train"):
        audit(trained, train=(x[:900], y[:900]), test=(x[:900], y[:900]), quiet=True)
    with pytest.raises(RefusedError, match="labels-off-by-one"):
        audit(build, weights=trained.state_dict(), test=(x[900:], (y[900:] + 1) % 10), quiet=True)
    with pytest.raises(PlanError, match="unknown key"):
        audit(trained, test=(x, y), probes={"evasion": {"epsilon": 1}}, quiet=True)
    with pytest.raises(RefusedError, match="labels are of type"):
        audit(trained, test=(x, np.ones(len(x))), quiet=True)


def test_nothing_is_held_afterwards(run: Run) -> None:
    held: dict[str, Any] = handed._held
    assert held == {}


@pytest.mark.slow
def test_the_lines_of_the_readme_run_as_printed(
    trained: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    lines = text.split("```python\n")[1].split("```")[0]
    assert len([line for line in lines.splitlines() if line]) <= 5
    monkeypatch.chdir(tmp_path)
    x, y = digits()
    few = {"x_train": x[:60], "y_train": y[:60], "x_test": x[900:930], "y_test": y[900:930]}
    exec(lines, {"model": trained, **few})  # as printed, in a program that has a model and few examples
    assert (tmp_path / "report.html").is_file()
