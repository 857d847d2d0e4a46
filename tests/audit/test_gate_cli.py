"""`prune-audit gate`, and `report` with policy and baseline: exit codes and messages, without a real run."""

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console

from audit import cli
from audit.commands import terminal

ROOT = Path(__file__).parents[2]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def synthetic() -> ModuleType:
    """The module that writes plausible runs for the reports' tests."""
    file = ROOT / "tests" / "reports" / "synthetic.py"
    spec = importlib.util.spec_from_file_location("synthetic_for_the_gate", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, synthetic: ModuleType) -> Path:
    found: Path = synthetic.build(
        tmp_path_factory.mktemp("gate") / "run", seeds=[0], methods=["m"], sparsities=[0.5], n=200
    )
    return found


def policy(folder: Path, *lines: str, metric: str = "accuracy") -> Path:
    """A policy of one rule: the synthetic models have a clean accuracy of 99.5% (97.2–99.9%)."""
    path = folder / "house.toml"
    path.write_text("\n".join(['[[rule]]\nid = "house"', f'metric = "{metric}"', *lines]), encoding="utf-8")
    return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit code, stdout and stderr of the entry point, in this process."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        # The module's own console keeps the stream that was there when it was made.
        monkeypatch.setattr(terminal, "console", Console(soft_wrap=True, width=300))
        monkeypatch.setattr(sys, "argv", ["prune-audit", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as done:
            code = int(done.code or 0)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return call


@pytest.mark.parametrize(
    ("limit", "metric", "code", "word"),
    [
        ("min = 0.9", "accuracy", 0, "PASS"),
        ("min = 0.9999", "accuracy", 1, "FAIL"),
        ("min = 0.99", "accuracy", 3, "INCONCLUSIVE"),
        ("min = 0.9", "tampering_accuracy", 4, "NOT RUN"),
        ("min = 0.9\nmin_seeds = 3", "accuracy", 3, "INCONCLUSIVE"),
        ('max_drop = 0.1\nagainst = "baseline"', "accuracy", 4, "NOT RUN"),
    ],
)
def test_the_exit_code_is_the_verdict_and_the_last_line_says_it(
    run: Run, folder: Path, tmp_path: Path, limit: str, metric: str, code: int, word: str
) -> None:
    found, out, err = run("gate", folder, "--policy", policy(tmp_path, limit, metric=metric))
    last = out.strip().splitlines()[-1]
    assert (found, err) == (code, "")
    assert last.startswith(f"{word}: {folder} by the policy house")
    assert last.endswith(f"exit code {code}")
    assert re.search(rf"^{word}: house, m@0\.5: ", out, re.MULTILINE)


def test_units_that_have_not_run_are_told_and_stop_a_pass(
    run: Run, tmp_path: Path, synthetic: ModuleType
) -> None:
    part = synthetic.build(tmp_path / "part", seeds=[0], methods=[], n=200, control=False, unfinished=2)
    code, out, _ = run("gate", part, "--policy", policy(tmp_path, "min = 0.9"))
    assert code == 4
    assert "2 planned units not run." in out


def test_a_waiver_is_seen_and_an_expired_one_told(run: Run, folder: Path, tmp_path: Path) -> None:
    waiver = '[[waiver]]\nrule = "house"\nvariant = "*"\nreason = "known"\nexpires = '
    house = policy(tmp_path, "min = 0.9999", f"{waiver}2026-12-31")
    day = ("--date", "2026-12-31")
    code, out, _ = run("gate", folder, "--policy", house, *day)
    assert code == 0
    assert re.search(r"^WAIVED: house, m@0\.5: waived until 2026-12-31 \(FAIL without", out, re.MULTILINE)
    assert out.strip().splitlines()[-1].startswith("WAIVED: ")
    assert "PASS" not in out
    assert "judged on 2026-12-31" in out
    run("report", folder, "--policy", house, *day)
    page = (folder / "report.html").read_text(encoding="utf-8")
    run("report", folder, "--policy", house, *day)
    assert (folder / "report.html").read_text(encoding="utf-8") == page
    assert "on 2026-12-31" in page
    code, out, _ = run("gate", folder, "--policy", house, "--date", "2027-01-01")
    assert code == 1
    assert "expired on 2026-12-31 and waives nothing on 2027-01-01" in out
    (folder / "report.html").unlink()


def test_a_waiver_far_in_the_future_and_a_day_that_is_none_are_mistakes(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    waiver = '[[waiver]]\nrule = "house"\nvariant = "*"\nreason = "known"\nexpires = 2999-01-01'
    house = policy(tmp_path, "min = 0.9999", waiver)
    for command in ("gate", "report"):
        code, out, err = run(command, folder, "--policy", house, "--date", "2026-12-31")
        assert (code, out) == (2, "")
        assert "waiver 1 (house): expires: 2999-01-01 is more than a year after the day of judgement" in err
        assert "give a day up to 2027-12-31" in err
    assert run("gate", folder, "--date", "31.12.2026")[0] == 2


@pytest.mark.parametrize("command", ["gate", "report"])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none"], "run.sqlite does not exist"),
        (["run", "--policy", "none.toml"], "none.toml: no such file, and no preset either"),
        (["run", "--policy", "bad.toml"], "bad.toml: rule 1 (house): minimum: unknown key"),
        (["run", "--policy", "torn.toml"], "torn.toml: not valid TOML"),
        (["run", "--baseline", "none"], "run.sqlite does not exist"),
        (["broken"], "is not a results file"),
    ],
)
def test_a_users_mistake_is_one_message_and_exit_code_2(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    command: str, arguments: list[str], said: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder, "run")
    Path("broken").mkdir()
    Path("broken/run.sqlite").write_text("not a database, and long enough to be read as one" * 20)
    policy(tmp_path, "minimum = 0.9").rename("bad.toml")
    Path("torn.toml").write_text("[[rule")
    code, out, err = run(command, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("prune-audit: ")
    assert said in err
    assert not list(Path().glob("*/report.html"))


def test_an_unknown_format_and_an_unknown_option_are_refused(run: Run, folder: Path) -> None:
    code, _, err = run("report", folder, "--format", "docx")
    assert code == 2
    assert "--format docx: there is no such format; there are: csv, " in err
    assert run("gate", folder, "--polcy", "strict")[0] == 2


def other_data(synthetic: ModuleType, folder: Path) -> Path:
    facts = synthetic.about()
    facts["subject"]["data_digest"] = "0" * 64
    found: Path = synthetic.build(folder, seeds=[0], methods=["m"], sparsities=[0.5], n=200, facts=facts)
    return found


@pytest.mark.parametrize("command", ["gate", "report"])
def test_a_baseline_that_cannot_be_compared_is_refused(
    run: Run, folder: Path, tmp_path: Path, synthetic: ModuleType, command: str
) -> None:
    old = other_data(synthetic, tmp_path / "old")
    code, out, err = run(command, folder, "--baseline", old)
    assert (code, out) == (4, "")
    assert f"{old} cannot be the baseline of this run: it has other data" in err
    assert "by this run's plan" in err
    assert not (folder / "report.html").exists()


def test_a_rule_against_the_baseline_is_judged_with_one(run: Run, folder: Path, tmp_path: Path) -> None:
    house = policy(tmp_path, "max_drop = 0.05", 'against = "baseline"')
    code, out, _ = run("gate", folder, "--policy", house, "--baseline", folder)
    assert code == 0, out
    assert "against baseline is allowed" in out


def test_the_baseline_may_be_a_results_file_by_itself(run: Run, folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "run.sqlite", tmp_path / "last-week.sqlite")
    house = policy(tmp_path, "max_drop = 0.05", 'against = "baseline"')
    assert run("gate", folder, "--policy", house, "--baseline", tmp_path / "last-week.sqlite")[0] == 0


def test_the_first_week_is_told_apart_from_a_lost_baseline(run: Run, folder: Path, tmp_path: Path) -> None:
    against = 'max_drop = 0.05\nagainst = "baseline"'
    alone = policy(tmp_path, against)
    both = tmp_path / "both.toml"
    text = alone.read_text(encoding="utf-8") + "\n\n"
    floor = text.replace(against, "min = 0.5").replace("house", "floor")
    both.write_text(text + floor, encoding="utf-8")
    code, out, _ = run("gate", folder, "--policy", both)
    assert (code, out.splitlines()[-1][:8]) == (4, "NOT RUN:"), "without a word, a baseline is missing"
    code, out, _ = run("gate", folder, "--policy", both, "--first")
    assert code == 0, out
    assert "1 of 2 rules applies, 1 not asked" in out.splitlines()[-1]
    assert "Note: house: not asked: there is no baseline yet, by --first." in out
    code, out, _ = run("gate", folder, "--policy", alone, "--first")
    assert code == 4, "a policy of which nothing was judged is not met"
    strict = tmp_path / "strict.toml"
    strict.write_text(text + floor.replace("min = 0.5", "min = 0.9999"), encoding="utf-8")
    assert run("gate", folder, "--policy", strict, "--first")[0] == 1
    code, _, err = run("gate", folder, "--first", "--baseline", folder)
    assert code == 2
    assert "--first: says that there is no earlier run, and --baseline names one" in err
    code, _, err = run("gate", folder, "--baseline", tmp_path / "none")
    assert (code, "where there is none yet, say --first" in err) == (2, True)


def test_help_of_the_gate_tells_its_exit_codes(run: Run) -> None:
    code, out, _ = run("gate", "--help")
    assert code == 0
    for word in ("0 pass", "1 fail", "3 inconclusive", "--policy", "--baseline", "strict"):
        assert word in out


def test_gate_and_report_work_where_torch_cannot_be_imported(folder: Path, tmp_path: Path) -> None:
    program = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision", "art", "safetensors", "torch_pruning"}:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocked())
from audit.cli import main
sys.argv[0] = "prune-audit"
main()
"""
    copied = shutil.copytree(folder, tmp_path / "run")
    house = str(policy(tmp_path, "min = 0.9"))
    for command in ("gate", "report"):
        done = subprocess.run(
            [sys.executable, "-c", program, command, copied, "--policy", house, "--baseline", folder],
            capture_output=True, text=True, check=False, cwd=ROOT,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout
    page = (copied / "report.html").read_text(encoding="utf-8")
    assert "PASS" in page
    assert "house" in page
