"""Two runs held against each other, and a policy begun from a run, as a user meets them."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from audit import cli
from audit.commands import terminal
from reports.data.ledger import Ledger, MeasurementRow, UnitRow, VariantRow
from reports.data.results import read
from reports.gate.judge import judge
from reports.gate.policy import load, preset

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit code, stdout and stderr of the entry point, in this process."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(terminal, "console", Console(soft_wrap=True, width=300))
        monkeypatch.setattr(sys, "argv", ["prune-audit", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as done:
            code = int(done.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return call


def folder(
    path: Path, right: int, *, n: int = 1000, labels: int = 10, also: Mapping[str, int] | None = None
) -> Path:
    """A run whose dense model gets the first so many of n examples right, and other models as many."""
    path.mkdir()
    about = {
        "plan_digest": "d" * 20, "plan_name": path.name, "plan": {"probes": {"accuracy": {}}},
        "test_labels": [i % labels for i in range(n)],
        "subject": {"classes": [str(i) for i in range(labels)], "data_digest": f"data-{n}"},
    }  # fmt: skip
    models = {"dense": right, **(also or {})}
    units = [UnitRow(name, "accuracy", f"accuracy {name}") for name in models]
    with Ledger.open(path / "run.sqlite", about, units) as ledger:
        for name, hits in models.items():
            share, (method, _, sparsity) = hits / n, name.partition("@")
            row = MeasurementRow(
                name, 0, "accuracy", "accuracy", {"split": "test"}, share, share - 0.02, share + 0.02, n,
                outcomes={"correct": np.arange(n) < hits},
            )  # fmt: skip
            made = VariantRow(name, 0, method, float(sparsity or 0), float(sparsity or 0))
            ledger.append(name, variant=made, measurements=[row], seconds=1, finished="")
    return path


def test_what_changed_between_two_runs_is_said_in_pairs(run: Run, tmp_path: Path) -> None:
    a, b = folder(tmp_path / "a", 950), folder(tmp_path / "b", 850)
    code, out, _ = run("compare", a, b)
    assert code == 0
    assert "Worse than the baseline: clean accuracy of dense." in out
    assert "−10.0 (−12.0 to −8.3) worse" in out
    code, out, _ = run("compare", a, b, "--json")
    told = json.loads(out)
    assert told["baseline"]["plan"] == "a"
    assert "−10.0" in json.dumps(told["figures"], ensure_ascii=False)
    assert "No figure is shown to differ" in run("compare", a, folder(tmp_path / "c", 950))[1]


def test_two_variants_of_one_run_are_compared_and_every_slip_is_told(run: Run, tmp_path: Path) -> None:
    a = folder(tmp_path / "a", 950, also={"m@0.5": 900, "m@0.9": 950})
    code, out, _ = run("compare", a, "--pair", "m@0.5", "m@0.9")
    assert code == 0
    assert "m at 90% minus m at 50%" in out
    assert "+5.0 (+3.8 to +6.5) better" in out
    told = json.loads(run("compare", a, "--pair", "m@0.5", "m@0.9", "--json")[1])
    assert told["figures"][0]["Clean accuracy"].endswith("better")
    for given, said in (
        ((a,), "--pair"),
        ((a, a, "--pair", "m@0.5", "m@0.9"), "one folder"),
        ((a, "--pair", "m@0.5", "x"), "--pair x: the run has no such variant; it has: dense, m@0.5, m@0.9"),
        ((a, "--pair", "dense", "dense"), "does not differ from itself"),
    ):
        code, out, err = run("compare", *given)
        assert (code, out) == (2, "")
        assert said in err


def test_runs_on_other_examples_are_not_compared(run: Run, tmp_path: Path) -> None:
    a, b = folder(tmp_path / "a", 950), folder(tmp_path / "b", 450, n=500)
    code, out, err = run("compare", a, b)
    assert code == 4
    assert not out
    assert "cannot be the baseline" in err
    assert run("compare", a, tmp_path / "absent")[0] == 2


def test_a_policy_begun_from_a_run_asks_what_was_measured_and_shows_what_was_not(
    run: Run, tmp_path: Path
) -> None:
    a, file = folder(tmp_path / "a", 950), tmp_path / "house.toml"
    code, out, _ = run("policy", "init", a, "--out", file, "--preset", "strict")
    assert code == 0
    assert "--policy" in out
    text = file.read_text(encoding="utf-8")
    assert "# Dense: clean accuracy 93.0–97.0% (n = 1,000)." in text
    assert "# Not measured in that run: robust_accuracy." in text
    found = load(file)
    assert [rule.id for rule in found.rules] == ["accuracy"]
    assert not found.is_preset
    uncommented = "\n".join(line.removeprefix("# ") for line in text.splitlines() if line.startswith("# "))
    assert all(f'id = "{rule.id}"' in uncommented + text for rule in preset("strict").rules)
    assert judge(read(a), found).count("not_run") == 0
    assert run("policy", "init", a, "--out", file)[0] == 2  # nothing is written over
    assert "no preset 'lax'" in run("policy", "init", a, "--out", tmp_path / "b.toml", "--preset", "lax")[2]


def test_a_mistake_shows_where_it_was_met_where_that_is_asked(run: Run, tmp_path: Path) -> None:
    code, _, err = run("report", tmp_path / "absent")
    assert code == 2
    assert "Traceback" not in err
    code, _, err = run("--verbose", "report", tmp_path / "absent")
    assert code == 2
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("prune-audit: ")
