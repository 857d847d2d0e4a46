"""The CI recipes in examples/ci: they parse, their commands are ours, and what they upload is made."""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from audit import starter
from audit.cli import app

ROOT = Path(__file__).parents[1]
RECIPES = {path.name: path for path in sorted((ROOT / "examples" / "ci").glob("*.yml"))}


def read(name: str) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(RECIPES[name].read_text(encoding="utf-8"))
    return found


def scripts(node: Any) -> Iterator[str]:
    """Every shell script of a recipe, in order: ``run`` of GitHub, ``…script`` of GitLab."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "run" or str(key).endswith("script"):
                yield from [value] if isinstance(value, str) else value
            else:
                yield from scripts(value)
    elif isinstance(node, list):
        for value in node:
            yield from scripts(value)


def commands(name: str, baseline: str = "") -> list[list[str]]:
    """The words of every command line that starts with prune-audit; ``baseline``: what $BASELINE holds."""
    lines = [
        line.replace("$BASELINE", baseline) for text in scripts(read(name)) for line in text.splitlines()
    ]
    return [words for line in lines if (words := shlex.split(line)) and words[0] == "prune-audit"]


def parsed(words: list[str]) -> dict[str, Any]:
    """A command's parameters as the CLI reads them. Raises click's UsageError where it would refuse."""
    group: Any = typer.main.get_command(app)
    with group.make_context("prune-audit", list(words[1:])) as context:
        name, command, rest = group.resolve_command(context, words[1:])
        return {"command": name, **command.make_context(name, rest, parent=context).params}


def test_there_is_a_recipe_for_each_house() -> None:
    assert set(RECIPES) == {"github.yml", "gitlab-ci.yml"}


BASELINE = "--baseline audit-baseline"
"""What the recipes say of a baseline where there is one."""


@pytest.mark.parametrize("name", RECIPES)
def test_every_command_gets_the_baseline_where_there_is_one(name: str) -> None:
    assert f'BASELINE={BASELINE}"' in "".join(scripts(read(name))).replace('="', "=")
    for one in map(parsed, commands(name, BASELINE)):
        assert one["baseline"] == Path("audit-baseline")
    assert all(one["baseline"] is None and not one["first"] for one in map(parsed, commands(name)))
    assert all(one["first"] for one in map(parsed, commands(name, "--first")))


@pytest.mark.parametrize("branch", ["main", "feature"])
@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("name", RECIPES)
def test_the_default_branch_alone_may_begin_without_a_baseline(
    name: str, there: bool, branch: str, tmp_path: Path
) -> None:
    if there:
        (tmp_path / "audit-baseline").mkdir()
        (tmp_path / "audit-baseline" / "run.sqlite").touch()
    naming = next(text for text in scripts(read(name)) if "elif [" in text)
    environment = {
        "GITHUB_ENV": str(tmp_path / "env"),
        "GITHUB_EVENT_NAME": "push" if branch == "main" else "pull_request",
        "CI_COMMIT_BRANCH": branch, "CI_DEFAULT_BRANCH": "main",
    }  # fmt: skip
    told = 'if [ -f "$GITHUB_ENV" ]; then cat "$GITHUB_ENV"; else echo "BASELINE=$BASELINE"; fi'
    said = subprocess.run(
        ["sh", "-c", f"{naming}\n{told}"], cwd=tmp_path, env={"PATH": os.environ["PATH"], **environment},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert said.strip() == "BASELINE=" + (BASELINE if there else "--first" if branch == "main" else "")


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("baseline", ["", BASELINE])
def test_every_command_is_one_of_ours(name: str, baseline: str) -> None:
    found = [parsed(words) for words in commands(name, baseline)]
    assert {one["command"] for one in found} == {"run", "report", "gate"}
    folders = {str(one["out"] if one["command"] == "run" else one["folder"]) for one in found}
    assert folders == {"audit-run"}
    assert {one["policy"] for one in found if "policy" in one} == {"audit/policy.toml"}


def test_a_command_that_is_none_of_ours_is_found_out() -> None:
    for line in ("prune-audit gait audit-run", "prune-audit gate audit-run --polcy x", "prune-audit gate"):
        with pytest.raises(Exception, match="No such command|No such option|Missing parameter"):
            parsed(shlex.split(line))


def uploads(node: Any) -> set[str]:
    """Every file under audit-run/ that a recipe reads or uploads."""
    if isinstance(node, dict):
        return set().union(*map(uploads, node.values()))
    if isinstance(node, list):
        return set().union(*map(uploads, node))
    return set(re.findall(r"audit-run/[\w.-]+", str(node)))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository after its plan has run: audit-run, and audit/ with a plan and a policy that it fails."""
    file = ROOT / "tests" / "reports" / "synthetic.py"
    spec = importlib.util.spec_from_file_location("synthetic_for_ci", file)
    assert spec is not None
    assert spec.loader is not None
    synthetic = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(synthetic)
    root = tmp_path_factory.mktemp("repository")
    for folder in ("audit-run", "audit-baseline"):
        synthetic.build(root / folder, seeds=[0], methods=["m"], sparsities=[0.5], n=100)
    starter.write(root / "audit")
    (root / "audit" / "policy.toml").write_text(
        '[[rule]]\nid = "clean"\nmetric = "accuracy"\nmin = 0.9999\n', encoding="utf-8"
    )
    return root


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("baseline", ["", BASELINE])
def test_the_gate_fails_the_job_and_what_is_uploaded_is_there(
    name: str, baseline: str, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    for made in workplace.glob("audit-run/*"):
        if made.name != "run.sqlite":
            made.unlink()
    codes = {}
    for words in commands(name, baseline):
        if words[1] == "run":
            assert (workplace / words[2]).is_file()
            continue
        done = CliRunner().invoke(app, words[1:])
        assert isinstance(done.exception, SystemExit | None), done.exception
        codes[words[1]] = done.exit_code
    assert codes == {"report": 0, "gate": 1}
    wanted = uploads(read(name))
    assert {"audit-run/report.sarif", "audit-run/junit.xml", "audit-run/comment.md"} <= wanted
    for file in wanted:
        assert (workplace / file).is_file(), file
    said = (workplace / "audit-run" / "comment.md").read_text(encoding="utf-8")
    assert ("Since the baseline" in said) == bool(baseline)


def test_only_what_passed_on_the_default_branch_becomes_the_baseline() -> None:
    steps = read("github.yml")["jobs"]["audit"]["steps"]
    names = [step.get("name") for step in steps]
    kept = steps[names.index("Keep the baseline")]
    # No always(): a step without it is skipped where an earlier one, such as the gate, failed.
    assert kept["if"] == steps[names.index("Make it the baseline")]["if"] == "github.event_name == 'push'"
    assert names.index("Gate") < names.index("Make it the baseline") < names.index("Keep the baseline")
    fetched = steps[names.index("Fetch the baseline")]["with"]
    assert kept["with"] == {key: fetched[key] for key in ("path", "key")}
    assert fetched["key"].startswith(fetched["restore-keys"])
    assert "hashFiles('audit/plan.toml')" in fetched["restore-keys"]
    script = read("gitlab-ci.yml")["prune-audit"]["script"]
    gate, upload = (
        next(i for i, line in enumerate(script) if word in line) for word in (" gate ", "--upload-file")
    )
    assert gate < upload
    assert script[upload].startswith('if [ "$CI_COMMIT_BRANCH" = "$CI_DEFAULT_BRANCH" ]')


def test_github_uploads_whatever_the_gate_says() -> None:
    recipe = read("github.yml")
    steps = recipe["jobs"]["audit"]["steps"]
    gate = next(i for i, step in enumerate(steps) if "prune-audit gate" in step.get("run", ""))
    assert "continue-on-error" not in steps[gate]
    report = next(i for i, step in enumerate(steps) if "prune-audit report" in step.get("run", ""))
    assert report < gate
    later = [step for step in steps[gate + 1 :] if "baseline" not in step["name"]]
    assert len(later) == 4
    assert all("always()" in step["if"] for step in later)
    (scan,) = [s for s in steps if s.get("uses", "").startswith("github/codeql-action/upload-sarif@")]
    assert scan["with"]["sarif_file"] == "audit-run/report.sarif"
    assert recipe["permissions"] == {
        "contents": "read", "pull-requests": "write", "security-events": "write"
    }  # fmt: skip


def test_gitlab_reports_whatever_the_gate_says() -> None:
    job = read("gitlab-ci.yml")["prune-audit"]
    assert job["artifacts"]["when"] == "always"
    assert job["artifacts"]["reports"] == {"junit": "audit-run/junit.xml"}
    assert any("prune-audit gate" in line for line in job["script"])
    assert any("prune-audit report" in line for line in job["after_script"])
    assert "allow_failure" not in job


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not there to parse scripts")
def test_every_script_is_a_script(name: str) -> None:
    for text in scripts(read(name)):
        done = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
        assert done.returncode == 0, f"{text}\n{done.stderr}"
