"""Documents are true: every command in them is run or checked, every link leads somewhere."""

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from attacks.evasion import _table as evasion
from attacks.extraction import _table as extraction
from attacks.membership import _table as membership
from attacks.tampering import _table as tampering
from audit.plan import load, parse
from pruning.criteria import _table as criteria_table
from pruning.methods import methods
from reports.exports import exports
from reports.gate import policy
from reports.gate.judge import EXIT_CODES

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


DEMO = next(name for name, found in COMMANDS.items() if any(c.endswith("prune-audit run") for c in found))
"""The first document that runs the embedded demo."""


def synthetic(folder: Path) -> None:
    """A run's folder, without the run."""
    spec = importlib.util.spec_from_file_location("a_run", ROOT / "tests" / "reports" / "synthetic.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.build(folder, methods=["m"], seeds=[0], n=100)


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
    """As written, in one folder; but runs are quick ones, and what takes minutes (examples, ``reproduce``) is
    checked.

    The demo runs once, for the first document that has it; the others find a run in its place.
    """
    for command in COMMANDS[name]:
        words = shlex.split(command)
        if words[1:] and words[1].startswith("examples/"):
            subprocess.run([sys.executable, *words[1:]], cwd=workplace, check=True)
        if not words[0].endswith("prune-audit"):
            continue
        words = words[1:]
        if words == ["run"] and name != DEMO:
            synthetic(workplace / "runs" / "demo")
            continue
        if words[0] == "run":
            example = any(word.startswith("examples/") for word in words)
            words[0:1] = ["preflight"] if example else ["run", "--quick"]
        elif words[0] == "reproduce":
            words.append("--estimate")
        if words[0] == "reproduce":  # minutes to nights: what would be done is found, and how long it takes
            words = ["reproduce", "--estimate", *("data" if word == "PATH" else word for word in words[1:])]
        result = subprocess.run(
            [sys.executable, "-m", "audit", *words],
            cwd=workplace,
            capture_output=True,
            text=True,
            check=False,
        )
        allowed = {0, 1, 3, 4} if words[0] == "gate" else {0}  # any verdict, but no mistake
        assert result.returncode in allowed, f"{command}\n{result.stdout}{result.stderr}"


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
def test_plans_and_policies_in_documents_are_such(name: str) -> None:
    for text in blocks(DOCUMENTS[name], "toml"):
        if "[[rule]]" in text:
            assert policy.parse(text).rules
            continue
        table = {"model": {"build": "audit.zoo:digits_cnn"}, "data": {"source": "digits"}, "train": {}}
        parse(table | tomllib.loads(text), Path("plan.toml"))


def test_the_table_of_presets_is_that_of_their_files() -> None:
    lines = DOCUMENTS["docs/gate.md"].read_text(encoding="utf-8").partition("| asks |")[2].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")[1:]] for line in lines[:8]]
    for column, name in enumerate(policy.presets()):
        asked = []
        for rule in policy.preset(name).rules:
            size = f"{100 * rule.limit:g} point{'s' * (rule.limit != 0.01)}"
            text = f"{rule.limit:.2f}" if rule.metric.startswith("membership") else size
            text = f"{rule.limit:.0%} of clean accuracy" if rule.of else text
            text += f", n ≥ {rule.min_n:,}" if rule.min_n else ""
            asked.append(text + (f", {rule.min_seeds} seeds" if rule.min_seeds else ""))
        assert [row[column] for row in cells if row[column] != "–"] == asked


@pytest.mark.parametrize("family", [evasion, extraction, membership, tampering])
def test_the_table_of_a_familys_attacks_is_that_of_the_attacks(family: ModuleType) -> None:
    name = family.__name__.split(".")[1]
    text = DOCUMENTS[f"docs/{name}.md"].read_text(encoding="utf-8")
    assert text == family.filled(text), "run the command that the marker names"


def test_the_table_of_criteria_is_that_of_the_criteria() -> None:
    text = DOCUMENTS["docs/pruning.md"].read_text(encoding="utf-8")
    assert text == criteria_table.filled(text), "run the command that the marker names"


def test_the_gate_s_page_has_every_key_and_exit_code() -> None:
    text = DOCUMENTS["docs/gate.md"].read_text(encoding="utf-8")
    for key in (*policy.Rule.model_fields, *policy.Waiver.model_fields):
        assert f"`{key}`" in text, key
    for code in (*EXIT_CODES.values(), 2):
        assert f"\n| {code} |" in text
    for name, export in exports().items():
        assert f"`{name}`" in text
        assert f"`{export.file}`" in text


def test_links_lead_somewhere() -> None:
    for name, path in DOCUMENTS.items():
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{name}: {target}"


def test_the_readmes_ledger_is_that_of_the_command() -> None:
    readme, whole = (DOCUMENTS[name].read_text(encoding="utf-8") for name in ("README.md", "docs/claims.md"))
    shown = readme.partition("<!-- from docs/claims.md -->\n")[2].partition("<!-- end -->")[0]
    assert len(shown.splitlines()) == 16
    assert shown in whole
    assert "prune-audit reproduce" in whole.replace("\\", "")
