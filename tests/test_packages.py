"""Packages: the example plugin as its reader installs it; wheel and sdist away from the checkout."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OWN = ("audit", "attacks", "pruning", "reports")


def python(*words: str | Path, path: Path, folder: Path) -> str:
    """What a Python that finds ``path`` first says; it must end well."""
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(path), "COLUMNS": "300", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def install(what: Path, into: Path) -> None:
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--target", str(into)]
    python("-m", "pip", "install", *options, what, path=into, folder=what.parent)


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example and, in ``site``, what its installation puts there."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(ROOT / "examples/plugin", folder / "plugin")
    install(folder / "plugin", folder / "site")
    return folder


@pytest.fixture(scope="module")
def ran(plugin: Path) -> Path:
    """The folder of a run of the example's plan."""
    said = ("run", "plugin/plan.toml", "--out", "run", "--engine", "inline")
    python("-m", "audit", *said, path=plugin / "site", folder=plugin)
    return plugin / "run"


def test_the_example_plugin_is_listed_once_it_is_installed(plugin: Path) -> None:
    found = json.loads(python("-m", "audit", "list", "--json", path=plugin / "site", folder=plugin))
    assert "evasion.corner" in found["attacks"]
    assert "far_from_mean" in found["criteria"]
    assert found["charts"]["gzipped"] == "Gzipped size against sparsity"


def test_the_example_plugin_attacks_prunes_and_draws(ran: Path) -> None:
    with (ran / "measurements.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    at = [json.loads(row["at"]) for row in rows]
    by = {
        (row["variant"], a["attack"], a["eps"]): float(row["value"])
        for row, a in zip(rows, at, strict=True)
        if row["metric"] == "robust_accuracy" and row["status"] == "ok" and "attack" in a and "eps" in a
    }
    names = {row["variant"] for row in rows}
    assert any(name.startswith("far_from_mean") for name in names), names
    for name in names:  # chance is no attacker: one step uphill breaks more
        assert by[name, "corner", 0.2] >= by[name, "fgsm", 0.2]
    assert by["dense", "corner", 0.2] > by["dense", "fgsm", 0.2]
    page = (ran / "report.html").read_text(encoding="utf-8")
    assert "Gzipped size against sparsity" in page


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ('"""Bytes', "cannot be loaded: ModuleNotFoundError"),
        ("    panel =", "cannot be drawn: ModuleNotFoundError"),
    ],
)
def test_a_chart_that_breaks_says_so_and_the_page_stands(
    plugin: Path, ran: Path, tmp_path: Path, before: str, said: str
) -> None:
    """Another package's fault is not ours to die of."""
    site = shutil.copytree(plugin / "site", tmp_path / "site")
    module = site / "prune_audit_example/gzipped.py"
    text, indent = module.read_text(encoding="utf-8"), before[: len(before) - len(before.lstrip())]
    module.write_text(text.replace(before, f"{indent}import nothing_of_the_kind\n{before}", 1))
    copied = shutil.copytree(ran, tmp_path / "run")
    python("-m", "audit", "report", copied, path=site, folder=tmp_path)
    assert said in (copied / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_what_is_published_installs_and_runs_the_demo(kind: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in (*OWN, "pyproject.toml", "README.md", "LICENSE"):
        whole = ROOT / name
        if whole.is_dir():
            shutil.copytree(whole, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(whole, source / name)
    built = tmp_path / "dist"
    built.mkdir()
    program = f"from setuptools import build_meta as b; print(b.build_{kind}({str(built)!r}))"
    file = python("-c", program, path=tmp_path, folder=source).splitlines()[-1]
    shutil.rmtree(source)
    site = tmp_path / "site"
    install(built / file, site)
    where = python(
        "-c", "import audit, reports; print(audit.__file__, reports.__file__)", path=site, folder=tmp_path
    )
    assert where.count(str(site)) == 2, where
    python("-m", "audit", "run", "--quick", "--out", "demo", path=site, folder=tmp_path)
    assert "<html" in (tmp_path / "demo/report.html").read_text(encoding="utf-8")
    assert "plan.toml" in python("-m", "audit", "init", "mine", path=site, folder=tmp_path)
