"""What keeps an earlier run from standing beside a new one, one obstacle at a time."""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from reports.data.ledger import LedgerError
from reports.data.results import Results, read
from reports.gate.baseline import SUBJECT, NotComparableError, obstacles, read_baseline

Facts = dict[str, Any]
Build = Callable[..., Path]


@pytest.fixture(scope="module")
def facts(synthetic: ModuleType) -> Facts:
    found: Facts = synthetic.about("demo", ["m"])
    found["environment"]["code"] = "abc123"
    found["plan"]["probes"]["extraction"] = {"queries": [100], "epochs": 5}
    return found


@pytest.fixture
def build(tmp_path: Path, synthetic: ModuleType, facts: Facts) -> Build:
    """A small run with the given facts, changed by ``change``."""

    def make(name: str, change: Callable[[Facts], object] = lambda _: None, **more: Any) -> Path:
        mine = copy.deepcopy(facts)
        change(mine)
        options = {"seeds": [0], "methods": ["m"], "sparsities": [0.5], "n": 30, "control": False} | more
        folder: Path = synthetic.build(tmp_path / name, facts=mine, **options)
        return folder

    return make


@pytest.fixture
def new(build: Build) -> Results:
    return read(build("new"))


def settings(facts: Facts, probe: str, **keys: Any) -> None:
    facts["plan"]["probes"][probe].update(keys)


def test_a_run_can_stand_beside_itself(new: Results) -> None:
    assert obstacles(new, new) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f["subject"].update(weights="sha256:other", architecture="my_model:build"),
        lambda f: f["plan"]["model"].update(weights="other.safetensors"),
        lambda f: f["plan"]["pruning"].update(methods=["other"], sparsities=[0.7], seeds=[5]),
        lambda f: f.update(started="2027-01-01T00:00:00+00:00", jobs=16, command="prune-audit run x.toml"),
        lambda f: f["environment"].update(platform="Darwin"),
        lambda f: f["plan"]["probes"].update(cost={}),  # a probe that one of the two has alone
    ],
)
def test_the_model_the_pruning_and_the_machine_may_differ(
    new: Results, build: Build, change: Callable[[Facts], object]
) -> None:
    assert obstacles(new, read(build("old", change))) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f["subject"].update(data_digest="0" * 64), "other data ([subject] data_digest)"),
        (lambda f: f["subject"].update(classes=["a", "b"]), "other classes ([subject] classes)"),
        (lambda f: f["subject"].update(bounds=[-1, 1]), "other bounds of the inputs ([subject] bounds)"),
        (lambda f: f["subject"].update(test_examples=7), "another number of audit examples"),
        (lambda f: f["subject"].update(train_examples=7), "another number of training examples"),
        (lambda f: settings(f, "evasion", eps=[0.5]), "its probe evasion has other settings (eps)"),
        (lambda f: settings(f, "evasion", steps=7), "its probe evasion has other settings (steps)"),
        (lambda f: settings(f, "extraction", queries=[9], epochs=1), "extraction has other settings"),
        (lambda f: f["environment"].update(code="def456"), "another version of the program (code def456)"),
        (lambda f: f["plan"].update(probes={"other": {}}), "no probe in common"),
    ],
)
def test_each_obstacle_is_the_only_one_and_named(
    new: Results, build: Build, change: Callable[[Facts], object], said: str
) -> None:
    (found,) = obstacles(new, read(build("old", change)))
    assert said in found
    (back,) = obstacles(read(build("old2", change)), new)
    assert back.split("(")[0] == found.split("(")[0]


@pytest.mark.parametrize("key", SUBJECT)
def test_a_fact_that_only_one_of_them_has_is_an_obstacle(new: Results, build: Build, key: str) -> None:
    (found,) = obstacles(new, read(build("old", lambda f: f["subject"].pop(key))))
    assert f"[subject] {key}" in found


def test_an_incomplete_baseline_is_an_obstacle_and_an_incomplete_run_is_not(
    new: Results, build: Build
) -> None:
    part = read(build("part", unfinished=3))
    (found,) = obstacles(new, part)
    assert found.startswith("it is incomplete (3 of ")
    assert obstacles(part, new) == []


def test_facts_of_another_shape_are_no_crash(new: Results, build: Build) -> None:
    broken = read(build("old", lambda f: f.update(subject="none", plan=[1], environment=None)))
    found = obstacles(new, broken)
    assert len(found) == len(SUBJECT) + 2
    assert all("\n" not in line for line in found)


def test_reading_a_baseline_gives_every_reason_and_the_remedy(new: Results, build: Build) -> None:
    assert read_baseline(new, build("same")).about == new.about

    def change(facts: Facts) -> None:
        facts["subject"]["data_digest"] = "0" * 64
        settings(facts, "evasion", eps=[0.5])

    folder = build("old", change)
    with pytest.raises(NotComparableError) as caught:
        read_baseline(new, folder)
    text = str(caught.value)
    assert text.startswith(f"{folder} cannot be the baseline of this run: ")
    assert "data_digest" in text
    assert "evasion has other settings (eps)" in text
    assert "Run the baseline's plan again" in text


def test_a_folder_without_a_run_is_told(new: Results, build: Build, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="does not exist"):
        read_baseline(new, tmp_path / "none")
    folder = build("damaged")
    shutil.copy(__file__, folder / "run.sqlite")
    with pytest.raises(LedgerError, match="not a results file"):
        read_baseline(new, folder)
