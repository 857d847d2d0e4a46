"""The paper's own experiment: its schedules, its resuming, and what is said of it."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from audit.reproduce import experiment
from audit.reproduce.experiment import EVERY, STEPS, Trial, gathered, pruned, told


def after(way: tuple[float, float] | None, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A weight that an optimiser moves nowhere, held to a schedule; and as it was."""
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(40, 50))
    before = weight.detach().clone()
    optimiser = torch.optim.SGD([weight], lr=0.0)
    pruned(weight, way)(optimiser)
    for _ in range(steps):
        weight.grad = torch.ones_like(weight)
        optimiser.step()
    return weight.detach(), before


@pytest.mark.parametrize("steps", [EVERY, 3 * EVERY, STEPS, STEPS + 50])
def test_a_rising_schedule_takes_the_smallest(steps: int) -> None:
    weight, before = after((0.0, 0.5), steps)
    share = 0.5 - 0.5 * (1 - min(steps, STEPS) / STEPS) ** 3
    gone = weight == 0
    assert int(gone.sum()) == round(share * 2000)
    assert before[gone].abs().max() < before[~gone].abs().min()
    assert torch.equal(weight[~gone], before[~gone])


def test_the_printed_schedule_prunes_first_and_holds_nothing_in_the_end() -> None:
    early, before = after((0.5, 0.0), EVERY)
    assert int((early == 0).sum()) == round(0.5 * 0.9**3 * 2000)
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(40, 50))
    optimiser = torch.optim.SGD([weight], lr=0.01)
    pruned(weight, (0.5, 0.0))(optimiser)
    for _ in range(STEPS + 1):
        weight.grad = torch.ones_like(weight)
        optimiser.step()
    assert int((weight == 0).sum()) == 0  # every weight is free at the end, and moves again
    untouched, before = after(None, 10)
    assert torch.equal(untouched, before)


def trial(side: int = 10, steps: int = 1000, schedule: str = "dense", seed: int = 0, **more: float) -> Trial:
    figures = {"accuracy": 0.9, "loss": 0.3, "train_accuracy": 0.95, "sparsity": 0.0} | more
    return Trial(side, steps, schedule, seed, **figures)  # type: ignore[arg-type]


def test_what_is_done_is_not_done_again_and_another_version_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[object, ...]] = []

    def train(data: object, *at: object) -> Trial:
        made.append(at)
        if len(made) == 4:
            raise KeyboardInterrupt
        return trial(*at)  # type: ignore[arg-type]

    monkeypatch.setattr(experiment, "_trial", train)
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        gathered(tmp_path / "e.json", "digits", None, (0, 1), said.append)
    assert len(json.loads((tmp_path / "e.json").read_text())["trials"]) == 3
    found = gathered(tmp_path / "e.json", "digits", None, (0, 1), said.append)
    assert len(found) == 12
    assert len(made) == 1 + 12  # the interrupted one again, and no other
    assert gathered(tmp_path / "e.json", "digits", None, (0, 1), said.append) == found
    assert len(made) == 13
    monkeypatch.setattr(experiment, "code_version", lambda: "another")
    gathered(tmp_path / "e.json", "digits", None, (0, 1), said.append)
    assert len(made) == 25
    assert "of another version" in said[-13]


def test_what_is_said_is_of_the_trials() -> None:
    found = [
        *(trial(seed=seed, accuracy=0.9 + seed / 100) for seed in (0, 1, 2)),
        *(trial(schedule="falls", seed=seed, accuracy=0.91) for seed in (0, 1, 2)),
        *(trial(schedule="rises", seed=seed, accuracy=0.88, sparsity=0.5, loss=0.18) for seed in (0, 1, 2)),
    ]
    said = told(found, "digits", "prune-audit reproduce")
    rows = {figure.name: (figure.printed, figure.ours) for figure in said.figures}
    dense = "test accuracy: 10×10 inputs, 1,000 steps, not pruned"
    assert rows[dense] == ("0.8864", "0.9100 (0.9000–0.9200)")
    assert len(rows) == 9
    why = " ".join(said.why)
    assert "These are digits, not MNIST" in why
    assert "the trial whose loss comes closest, 0.1800, has an accuracy of 0.8800" in why
    assert "ends with 0.0% of the hidden weights at zero, the corrected one with 50.0%" in why
    assert "by +0.00 and −3.00 points" in why
    assert "not MNIST" not in " ".join(told(found, "mnist", "").why)


def test_the_paper_s_net_learns_the_digits() -> None:
    """One trial in full: 1 000 steps, the schedule that rises."""
    data = experiment._examples("digits", None, 10)
    found = experiment._trial(data, 10, STEPS, "rises", 0)
    assert found.accuracy > 0.95
    assert found.train_accuracy > 0.98
    assert found.sparsity == pytest.approx(0.5, abs=1e-4)
    assert found == experiment._trial(data, 10, STEPS, "rises", 0)
