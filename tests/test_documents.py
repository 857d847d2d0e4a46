"""Documents are true: every command in them is run or checked, every link leads somewhere."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from audit.plan import load, parse
from pruning.methods import methods

ROOT = Path(__file__).parents[1]
DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
}


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def commands(path: Path) -> list[str]:
    """The lines of a document's shell blocks, without comments, parts joined by && apart."""
    lines = [line.split(" #")[0].strip() for line in "\n".join(blocks(path, "sh")).splitlines()]
    return [part.strip() for line in lines if line for part in line.split("&&")]


COMMANDS = {name: commands(path) for name, path in DOCUMENTS.items()}


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """Where a reader stands: the checkout's examples, and noise in MNIST's format under ``data``."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for prefix, n in (("train", 20_500), ("t10k", 1_000)):
        images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8).tobytes()
        labels = rng.integers(0, 10, n, dtype=np.uint8).tobytes()
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(
            np.array([2051, n, 28, 28], ">i4").tobytes() + images
        )
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(np.array([2049, n], ">i4").tobytes() + labels)
    return tmp_path


@pytest.mark.parametrize(
    "name", [n for n, found in COMMANDS.items() if any("prune-audit " in c for c in found)]
)
def test_prune_audit_commands_run_in_order(name: str, workplace: Path) -> None:
    """As written, in one folder; but runs are quick ones, and examples, which take minutes, are checked."""
    for command in COMMANDS[name]:
        words = shlex.split(command)
        if not words[0].endswith("prune-audit"):
            continue
        words = words[1:]
        if words[0] == "run":
            example = any(word.startswith("examples/") for word in words)
            words[0:1] = ["preflight"] if example else ["run", "--quick"]
        result = subprocess.run(
            [sys.executable, "-m", "audit", *words],
            cwd=workplace,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"


def test_the_example_of_all_methods_names_them_all() -> None:
    plan = load(ROOT / "examples" / "all-methods.toml")
    assert plan.pruning is not None
    assert set(plan.pruning.recipes) == set(methods())


def test_make_targets_exist() -> None:
    targets = {c.split()[1] for found in COMMANDS.values() for c in found if c.startswith("make ")}
    assert {"demo", "test"} <= targets
    for target in targets:
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


def test_other_commands_name_files_that_exist() -> None:
    tools = ("prune-audit", "python", "ruff", "mypy", "lint-imports", "pytest")
    known = {"make", "prune-audit", "python3", *(f".venv/bin/{tool}" for tool in tools)}
    for name, found in COMMANDS.items():
        for command in found:
            words = shlex.split(command)
            assert words[0] in known, f"{name}: {command}: no test covers it"
            for word in words:
                if word.startswith("benchmarks/"):
                    assert (ROOT / word).is_file(), f"{name}: {command}"


@pytest.mark.parametrize("name", [n for n, path in DOCUMENTS.items() if blocks(path, "toml")])
def test_plans_in_documents_are_plans(name: str) -> None:
    for text in blocks(DOCUMENTS[name], "toml"):
        table = {"model": {"build": "audit.zoo:digits_cnn"}, "data": {"source": "digits"}, "train": {}}
        parse(table | tomllib.loads(text), Path("plan.toml"))


def test_links_lead_somewhere() -> None:
    for name, path in DOCUMENTS.items():
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{name}: {target}"
