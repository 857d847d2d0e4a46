"""Hostile files: each ends in one clear message or a good run, no traceback, no hang, no code run."""

import copy
import io
import random
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hostile_of_tests as hostile
import pytest
from PIL import Image
from plans_of_tests import TINY, toml

from audit.cli import main

KNOWN = {0, 1, 2, 3, 4, 5}
SECONDS = 30
"""Of one command, at most."""

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """The command in this process, as a shell sees it: exit code and what it said."""

    def overdue(*_: Any) -> None:
        raise TimeoutError(f"more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, overdue)

    def call(*words: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["prune-audit", *map(str, words)])
        signal.alarm(SECONDS)
        code = 0
        try:
            main()
        except SystemExit as stopped:
            code = stopped.code if isinstance(stopped.code, int) else 2
        finally:
            signal.alarm(0)
        said = capsys.readouterr()
        return code, said.out + said.err

    yield call
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A file that only a pickle which was run would make."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists(), "code from a file was run"


def held(code: int, said: str, what: str) -> None:
    """What every hostile file must end in."""
    assert code in KNOWN, f"{what}: exit code {code}\n{said[-3000:]}"
    assert "Traceback" not in said, f"{what}\n{said[-3000:]}"
    if code:
        assert said.strip(), what


def subject(folder: Path, **changed: Any) -> dict[str, Any]:
    """A plan of given weights and an npz file, in its folder."""
    folder.mkdir(exist_ok=True)
    hostile.weights(folder / "weights.safetensors")
    (folder / "data.npz").write_bytes(hostile.arrays())
    plan = copy.deepcopy(TINY)
    plan["model"]["weights"] = "weights.safetensors"
    plan["data"] = {"source": "npz:data.npz", "audit_examples": 40}
    plan |= changed
    (folder / "plan.toml").write_text(toml(plan), encoding="utf-8")
    return plan


def test_the_subject_itself_is_fit(run: Run, tmp_path: Path) -> None:
    """Else all that follows would be refused for another reason."""
    subject(tmp_path / "s")
    code, said = run("preflight", tmp_path / "s" / "plan.toml")
    assert "parameters" in said, said
    held(code, said, "the subject")


def plans(run: Run, folder: Path, seed: int) -> None:
    luck = random.Random(seed)
    plan = subject(folder)
    changed = hostile.bytewise(toml(plan).encode(), luck) if seed % 2 else b""
    content = changed or toml_of(hostile.replaced(plan, luck))
    (folder / "plan.toml").write_bytes(content)
    held(*run("preflight", folder / "plan.toml"), f"plan of seed {seed}:\n{content!r}")


def toml_of(plan: dict[str, Any]) -> bytes:
    return toml(plan).replace("NaN", "nan").replace("Infinity", "inf").encode("utf-8", "surrogatepass")


def weights(run: Run, folder: Path, seed: int) -> None:
    subject(folder)
    path = folder / "weights.safetensors"
    path.write_bytes(hostile.bytewise(path.read_bytes(), random.Random(seed)))
    held(*run("preflight", folder / "plan.toml"), f"weights of seed {seed}")


def data(run: Run, folder: Path, seed: int) -> None:
    subject(folder)
    path = folder / "data.npz"
    path.write_bytes(hostile.bytewise(path.read_bytes(), random.Random(seed)))
    held(*run("preflight", folder / "plan.toml"), f"data of seed {seed}")


def results(run: Run, folder: Path, seed: int, done: Path) -> None:
    folder.mkdir()
    content = (done / "run.sqlite").read_bytes()
    (folder / "run.sqlite").write_bytes(hostile.bytewise(content, random.Random(seed)))
    for command in ("gate", "report", "status"):
        held(*run(command, folder), f"{command} of results of seed {seed}")


KINDS = {"plan": plans, "weights": weights, "data": data}


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", KINDS)
def test_a_mutated_file_ends_in_words(run: Run, canary: Path, tmp_path: Path, kind: str, seed: int) -> None:
    KINDS[kind](run, tmp_path / "s", seed)


@pytest.mark.parametrize("name", ["x" * 10_000, "a/" * 5000, "loop/loop", "weights.safetensors/inside", "."])
def test_a_path_that_is_none_is_one_message(run: Run, tmp_path: Path, name: str) -> None:
    subject(tmp_path / "s", model={"build": "audit.zoo:digits_cnn", "weights": name})
    (tmp_path / "s" / "loop").symlink_to("loop")
    code, said = run("preflight", tmp_path / "s" / "plan.toml")
    held(code, said, name[:20])
    assert code in (2, 5)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", KINDS)
def test_many_mutated_files_end_in_words(run: Run, canary: Path, tmp_path: Path, kind: str) -> None:
    for seed in range(100, 434):
        KINDS[kind](run, tmp_path / "s", seed)


@pytest.mark.parametrize("seed", range(6))
def test_a_mutated_results_file_ends_in_words(run: Run, reference: Path, tmp_path: Path, seed: int) -> None:
    results(run, tmp_path / "r", seed, reference / "out")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_mutated_results_files_end_in_words(run: Run, reference: Path, tmp_path: Path) -> None:
    for seed in range(100, 200):
        results(run, tmp_path / f"r{seed}", seed, reference / "out")


def test_weights_that_lie_or_act_are_refused(run: Run, canary: Path, tmp_path: Path) -> None:
    subject(tmp_path / "s")
    path = tmp_path / "s" / "weights.safetensors"
    good = path.read_bytes()
    for what, content in {**hostile.bad_safetensors(good), **hostile.bad_checkpoints(canary)}.items():
        for suffix in (".safetensors", ".pt"):
            subject(tmp_path / "s", model={"build": "audit.zoo:digits_cnn", "weights": f"bad{suffix}"})
            (tmp_path / "s" / f"bad{suffix}").write_bytes(content)
            code, said = run("preflight", tmp_path / "s" / "plan.toml")
            held(code, said, f"{what}, as {suffix}")
            if what not in ("metadata of numbers", "removals that are none"):
                assert code in (2, 5), f"{what}, as {suffix}: {said}"
            code, said = run("convert", tmp_path / "s" / f"bad{suffix}", tmp_path / "s" / "new.safetensors")
            held(code, said, f"{what}, as {suffix}, converted")


def test_data_that_lie_or_act_are_refused(run: Run, canary: Path, tmp_path: Path) -> None:
    subject(tmp_path / "s")
    for what, content in hostile.bad_arrays(canary).items():
        (tmp_path / "s" / "data.npz").write_bytes(content)
        code, said = run("preflight", tmp_path / "s" / "plan.toml")
        held(code, said, what)
        assert code in (2, 5), f"{what}: {said}"


def test_an_image_bomb_and_a_link_out_of_the_folder(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    subject(folder, data={"source": "folder:images", "audit_examples": 8})
    good = io.BytesIO()
    Image.new("L", (8, 8), 99).save(good, "PNG")
    for name in map(str, range(10)):
        place = folder / "images" / "test" / name
        place.mkdir(parents=True)
        (place / "a.png").write_bytes(good.getvalue())
    held(*run("preflight", folder / "plan.toml"), "plain images")
    bomb = folder / "images" / "test" / "0" / "b.png"
    bomb.write_bytes(hostile.image_bomb())
    code, said = run("preflight", folder / "plan.toml")
    held(code, said, "an image bomb")
    assert code == 5
    assert "b.png" in said
    bomb.unlink()
    bomb.symlink_to("/dev/zero" if Path("/dev/zero").exists() else "/dev/null")
    held(*run("preflight", folder / "plan.toml"), "a link to a device")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE every_measurement SET value = 'text'",
        "UPDATE every_measurement SET at = at || '{'",
        "UPDATE every_measurement SET outcomes = x'00'",
        "UPDATE every_measurement SET low = 9, high = -9",
        "DELETE FROM every_variant",
        "DROP VIEW measurement",
        "UPDATE run SET value = '['",
        "DELETE FROM run",
    ],
)
def test_results_changed_behind_our_back(run: Run, reference: Path, tmp_path: Path, statement: str) -> None:
    folder = tmp_path / "r"
    folder.mkdir()
    (folder / "run.sqlite").write_bytes((reference / "out" / "run.sqlite").read_bytes())
    hostile.database(folder / "run.sqlite", statement)
    for command in ("gate", "report", "status"):
        code, said = run(command, folder)
        held(code, said, f"{statement}: {command}")
        assert command != "gate" or code, f"{statement}: a gate passed"
