"""The command line as a user meets it: exit codes, messages, files."""

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

Write = Callable[[dict[str, Any]], Path]


def prune_audit(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "audit", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def test_help_teaches() -> None:
    text = prune_audit("--help").stdout
    for word in ("run", "report", "preflight", "init", "list", "Exit codes"):
        assert word in text
    text = prune_audit("run", "--help").stdout
    for option in ("--out", "--engine", "--jobs", "--device", "--quick", "--root"):
        assert option in text


def test_help_does_not_wait_for_what_it_does_not_need() -> None:
    program = "import sys, audit.cli; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = {"torch", "torchvision", "art", "numpy", "pandas", "sklearn", "scipy", "matplotlib", "pydantic"}
    assert not heavy & set(loaded.stdout.split())


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (
            {"model": {"build": "audit.zoo:digits_cnn", "weights": "evil.pkl"}, "data": {"source": "digits"}},
            5,
            "refused",
        ),
        ({"model": {"build": "audit.zoo:digits_cnn", "wheights": "x"}}, 2, "model.wheights: unknown key"),
        ({"data": {"source": "npz:absent.npz"}}, 5, "no such file"),
        ({"pruning": {"sparsities": [1.0]}}, 2, "pruning.sparsities.0"),
        ({"probes": {"evasion": {"eps": [2.0]}}}, 2, "evasion"),
    ],
)
def test_mistakes_have_one_message_and_the_right_code(
    tiny: dict[str, Any], write_plan: Write, tmp_path: Path, change: dict[str, Any], code: int, said: str
) -> None:
    (tmp_path / "evil.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    result = prune_audit("run", write_plan(tiny | change), "--out", tmp_path / "out")
    assert result.returncode == code, result.stderr
    assert said in result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    assert not (tmp_path / "out").exists()


def test_missing_plan_and_missing_run(tmp_path: Path) -> None:
    result = prune_audit("run", tmp_path / "absent.toml")
    assert result.returncode == 2
    assert "no such file" in result.stderr
    result = prune_audit("report", tmp_path)
    assert result.returncode == 2
    assert "run.sqlite" in result.stderr
    assert prune_audit("run", "--jobs", "0").returncode == 2
    assert prune_audit("fly").returncode == 2


def test_a_baseline_that_is_not_there_is_said_before_anything_runs(
    tiny: dict[str, Any], write_plan: Write, tmp_path: Path
) -> None:
    for words, said in (
        (("--baseline", tmp_path / "last-week"), "where there is none yet, say --first"),
        (("--first", "--baseline", tmp_path), "remove one of the two"),
    ):
        result = prune_audit("run", write_plan(tiny), "--out", tmp_path / "out", *words)
        assert result.returncode == 2, result.stderr
        assert said in result.stderr
        assert not (tmp_path / "out").exists()


def test_starter_runs_from_init_to_report(tmp_path: Path) -> None:
    result = prune_audit("init", tmp_path)
    assert result.returncode == 0, result.stderr
    assert prune_audit("init", tmp_path).returncode == 2  # nothing is written over
    result = prune_audit("preflight", "plan.toml", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "multiply-adds" in result.stdout
    assert "min on" in result.stdout
    assert "standard can decide" in " ".join(result.stdout.split())
    result = prune_audit("preflight", "plan.toml", "--policy", "none.toml", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert "none.toml: no such file" in result.stderr


def test_list_is_complete_and_machine_readable() -> None:
    found = json.loads(prune_audit("list", "--json").stdout)
    assert {"accuracy", "evasion", "extraction", "membership"} <= found["probes"].keys()
    assert {"global-magnitude", "layer-magnitude", "filter-l2"} <= found["methods"].keys()
    assert found["criteria"]
    assert found["charts"]
    assert found["models"]
    assert {"evasion.pgd", "evasion.rays", "extraction.knockoff", "membership.loss"} <= found[
        "attacks"
    ].keys()
    assert all(found["attacks"].values())
    assert "filter-l2" in prune_audit("list", "methods").stdout


def test_report_renders_where_torch_cannot_be_imported(reference: Path, tmp_path: Path) -> None:
    shutil.copytree(reference / "out", tmp_path / "out")
    block = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'torchvision', 'art', 'safetensors', 'torch_pruning'):\n"
        "            raise ImportError(f'{name} is blocked')\n"
        "sys.meta_path.insert(0, Block())\n"
        f"sys.argv = ['prune-audit', 'report', {str(tmp_path / 'out')!r}]\n"
        "from audit.cli import main\nmain()\n"
    )
    result = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "<html" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    with (tmp_path / "out" / "measurements.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert list(table[0]) == [
        "variant", "method", "sparsity", "achieved_sparsity", "seed", "probe", "metric", "at", "value", "low",
        "high", "n", "status", "note",
    ]  # fmt: skip
    assert {"split": "test"} in [json.loads(row["at"]) for row in table]


def test_run_writes_report_and_says_what_it_found(reference: Path, tmp_path: Path) -> None:
    shutil.copytree(reference, tmp_path / "copy")
    result = prune_audit(
        "run", tmp_path / "copy/plan.toml", "--out", tmp_path / "copy/out", "--device", "cpu",
        "--baseline", reference / "out/run.sqlite",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "nothing was computed" in result.stdout
    assert "Since the baseline" in (tmp_path / "copy/out/report.html").read_text(encoding="utf-8")
    assert (tmp_path / "copy/out/measurements.csv").is_file()
    assert (tmp_path / "copy/out/measurements.parquet").is_file()
    assert "what stops it" in result.stdout  # the table of key figures


def test_what_preflight_found_stands_on_the_page(tmp_path: Path) -> None:
    """What the terminal said before the run, a reader of the report must know too."""
    x, y = load_digits(return_X_y=True)
    x = (x[:300].reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    np.savez(tmp_path / "same.npz", x_train=x, y_train=y[:300], x_test=x, y_test=y[:300])
    skip = sorted(set(json.loads(prune_audit("list", "probes", "--json").stdout)["probes"]) - {"accuracy"})
    (tmp_path / "plan.toml").write_text(
        'accept = ["test-in-train"]\n[model]\nbuild = "audit.zoo:digits_cnn"\n'
        '[data]\nsource = "npz:same.npz"\naudit_examples = 100\n[train]\nepochs = 1\n'
        f"[probes]\nskip = {json.dumps(skip)}\n"
    )
    result = prune_audit("run", "plan.toml", "--out", "out", "--engine", "inline", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "The plan accepts what preflight refuses: 300 of 300 held-out examples (100.0%)" in page
    assert "split after it was copied" in page
    assert "NOT ASKED" in page
    assert "train dense" in (status := prune_audit("status", tmp_path / "out").stdout), status
