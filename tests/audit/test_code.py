"""The user's own code: found from the plan's folder, at home there, and never in the way of ours."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit.errors import RefusedError
from audit.plan import load
from audit.subject.code import function_of

Write = Callable[[dict[str, Any]], Path]


@pytest.fixture
def function(
    tiny: dict[str, Any], write_plan: Write, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Callable[..., Any]]:
    monkeypatch.setattr(sys, "path", sys.path.copy())
    plan = load(write_plan(tiny))
    return lambda spec: function_of(plan, spec, "[model] build")


def test_the_folder_of_the_plan_is_importable_and_home(
    function: Callable[[str], Callable[..., Any]], tmp_path: Path
) -> None:
    (tmp_path / "parts_of_mine.py").write_text("WIDTH = 7\n")
    (tmp_path / "width.txt").write_text("3")
    (tmp_path / "whole_of_mine.py").write_text(
        "from __future__ import annotations\n"
        "import dataclasses, pathlib\n"
        "import parts_of_mine\n"
        "READ = pathlib.Path('width.txt').read_text()\n"
        "@dataclasses.dataclass\n"
        "class Settings:\n    width: int = 1\n"
        "def build(num_classes=2): return READ, pathlib.Path('width.txt').read_text(), parts_of_mine.WIDTH\n"
    )
    before = Path.cwd()
    assert function("whole_of_mine.py:build")() == ("3", "3", 7)
    assert function("whole_of_mine:build")() == ("3", "3", 7)
    assert Path.cwd() == before
    assert sys.path[-1] == str(tmp_path)


def test_a_users_attacks_do_not_stand_in_for_ours(
    function: Callable[[str], Callable[..., Any]], tmp_path: Path
) -> None:
    import attacks

    (tmp_path / "attacks").mkdir()
    (tmp_path / "attacks" / "__init__.py").write_text("raise ValueError\n")
    (tmp_path / "mine.py").write_text("import attacks\ndef where(): return attacks.__file__\n")
    assert function("mine.py:where")() == attacks.__file__


def test_a_script_that_exits_is_refused(
    function: Callable[[str], Callable[..., Any]], tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text("raise SystemExit(2)\n")
    with pytest.raises(RefusedError, match="does not load: SystemExit"):
        function("script.py:build")


@pytest.mark.parametrize("name", ["attacks", "pruning", "reports"])
def test_a_package_that_shadows_ours_is_one_clear_error(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    result = subprocess.run(
        [sys.executable, "-m", "audit", "list", "probes"], cwd=tmp_path, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (2, "")
    assert f"{tmp_path / name}: would be imported in place of prune-audit's own" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_users_import_of_torchvision_works_beside_any_torch_and_the_mismatch_is_told(
    tmp_path: Path,
) -> None:
    """In a process of its own: an import of torchvision happens once."""
    (tmp_path / "mine.py").write_text("import torchvision\ndef build(): return torchvision.__name__\n")
    (tmp_path / "plan.toml").write_text(
        '[model]\nbuild = "mine.py:build"\n[data]\nsource = "digits"\n[train]\nepochs = 1\n'
    )
    code = (
        "import pathlib\n"
        "from audit.plan import load\n"
        "from audit.subject import vision\n"
        "from audit.subject.code import function_of\n"
        "print(function_of(load(pathlib.Path('plan.toml')), 'mine.py:build', 'key')())\n"
        "print(vision.mismatch() or 'a pair')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    found, told = result.stdout.splitlines()
    assert found == "torchvision", result.stderr
    plain = [sys.executable, "-W", "ignore", "-c", "import torchvision"]
    pair = subprocess.run(plain, capture_output=True, check=False).returncode == 0
    assert told.startswith("a pair" if pair else "this torchvision is built for another torch")
    assert pair or "pip install --force-reinstall torch==" in told


def test_an_import_that_torchvision_broke_further_down_is_tried_again(
    function: Callable[[str], Callable[..., Any]], tmp_path: Path
) -> None:
    (tmp_path / "broken_at_first.py").write_text(
        "from pathlib import Path\n"
        "if not Path('tried').exists():\n"
        "    Path('tried').touch()\n"
        "    try:\n"
        "        raise RuntimeError('operator torchvision::nms does not exist')\n"
        "    except RuntimeError as error:\n"
        "        raise ModuleNotFoundError('Could not import module Trainer') from error\n"
        "def build(): return 1\n"
    )
    assert function("broken_at_first.py:build")() == 1
