"""What keeps an earlier run from standing beside a new one, one obstacle at a time."""

import copy
import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from reports.data.ledger import Ledger, LedgerError, UnitRow
from reports.data.results import Results, read
from reports.gate.baseline import SUBJECT, NotComparableError, cautions, obstacles, read_baseline
from reports.gate.judge import judge
from reports.gate.policy import parse

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
        lambda f: f["plan"]["model"].update(weights="other.safetensors"),
        lambda f: f["plan"]["pruning"].update(methods=["m", "other"], sparsities=[0.5, 0.7], seeds=[0, 5]),
        lambda f: f.update(started="2027-01-01T00:00:00+00:00", jobs=16, command="prune-audit run x.toml"),
        lambda f: f["plan"]["probes"].update(cost={}),  # a probe that one of the two has alone
        lambda f: f["plan"]["data"].update(root="/elsewhere"),  # where the same data lies
    ],
)
def test_the_weights_the_sweep_and_the_place_may_differ(
    new: Results, build: Build, change: Callable[[Facts], object]
) -> None:
    old = read(build("old", change))
    assert obstacles(new, old) == []
    assert cautions(new, old) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f["subject"].update(data_digest="0" * 64), "other data ([subject] data_digest)"),
        (lambda f: f["subject"].update(classes=["a", "b"]), "other classes ([subject] classes)"),
        (lambda f: f["subject"].update(bounds=[-1, 1]), "other bounds of the inputs ([subject] bounds)"),
        (lambda f: f["subject"].update(test_examples=7), "another number of audit examples"),
        (lambda f: f["subject"].update(train_examples=7), "another number of training examples"),
        (lambda f: f["subject"].update(weights="net.pt"), "its model was "),
        (
            lambda f: f["plan"]["model"].update(build="other:net"),
            "its plan has other settings ([model] build)",
        ),
        (lambda f: f["plan"].update(train={"epochs": 3}), "its plan has other settings ([train] epochs)"),
        (lambda f: f["plan"]["pruning"].update(finetune_epochs=9), "([pruning] finetune_epochs)"),
        (lambda f: f["plan"].update(probes={"other": {}}), "no probe in common"),
    ],
)
def test_each_obstacle_is_the_only_one_and_named(
    new: Results, build: Build, change: Callable[[Facts], object], said: str
) -> None:
    (found,) = obstacles(new, read(build("old", change)))
    assert said in found
    (back,) = obstacles(read(build("old2", change)), new)
    assert back.split("(")[0] == found.split("(")[0] or said == "its model was "


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("code", "def456", "made by other code, which may be part of every difference: code def456 → abc123"),
        ("torch", "2.9.1", "other libraries, which may be part of every difference: torch 2.9.1 → 2.13.0"),
        ("platform", "Darwin", "on another machine, which may be part of every difference: platform Darwin"),
    ],
)  # fmt: skip
def test_another_program_library_or_machine_is_told_and_refuses_nothing(
    new: Results, build: Build, key: str, value: str, said: str
) -> None:
    old = read(build("old", lambda f: f["environment"].update({key: value})))
    assert obstacles(new, old) == []
    (found,) = cautions(new, old)
    assert said in found


@pytest.mark.parametrize(
    ("probe", "keys"),
    [("evasion", {"eps": [0.5]}), ("evasion", {"steps": 7}), ("extraction", {"queries": [9], "epochs": 1})],
)
def test_a_probe_with_other_settings_is_left_out_and_told(
    new: Results, build: Build, probe: str, keys: dict[str, Any]
) -> None:
    folder = build("old", lambda f: settings(f, probe, **keys))
    kept = read_baseline(new, folder)
    assert set(read(folder).measurements["probe"]) - set(kept.measurements["probe"]) == {probe}
    assert not any((frame["probe"] == probe).any() for frame in kept.by_metric.values())
    told = cautions(new, kept)[0]
    assert told.startswith("not compared, since the baseline's probe has other settings: ")
    assert all(key in told for key in (probe, *keys))


def test_a_rule_on_a_probe_with_other_settings_does_not_pass(new: Results, build: Build) -> None:
    policy = parse("""
[[rule]]
id = "robust"
metric = "robust_accuracy"
at = { attack = "worst_case" }
max_drop = 1
against = "baseline"
""")
    same = judge(new, policy, read_baseline(new, build("same"))).decisions
    assert {decision.status for decision in same} <= {"pass", "inconclusive"}
    other = build("old", lambda f: settings(f, "evasion", eps=[0.5]))
    decisions = judge(new, policy, read_baseline(new, other)).decisions
    assert decisions
    assert {decision.status for decision in decisions} == {"not_run"}


def test_no_probe_with_the_same_settings_is_an_obstacle(new: Results, build: Build) -> None:
    def change(facts: Facts) -> None:
        for probe in facts["plan"]["probes"]:
            settings(facts, probe, level="other")

    (found,) = obstacles(new, read(build("old", change)))
    assert found.startswith("all of its probes have other settings (")


def test_a_setting_that_only_a_newer_program_has_is_told(new: Results, build: Build) -> None:
    def older(facts: Facts) -> None:
        facts["environment"]["code"] = "def456"
        settings(facts, "evasion", forgotten=1)

    old = read(build("old", older))
    assert obstacles(new, old) == []
    assert cautions(new, old)[1].endswith("records these settings: probe evasion forgotten")
    same = read(build("same", lambda f: settings(f, "evasion", forgotten=1)))
    assert obstacles(new, same) == []
    assert cautions(new, same)[0].endswith("has other settings: evasion (forgotten)")


def test_seeds_that_differ_are_told_and_none_in_common_is_an_obstacle(new: Results, build: Build) -> None:
    more = read(build("more", seeds=[0, 1]))
    assert obstacles(new, more) == []
    assert cautions(new, more) == ["only one of this run and its baseline has the training seeds 1"]
    other = read(build("other", seeds=[3, 4]))
    assert obstacles(new, other) == ["it has training seeds 3 and 4, this run has 0"]


def test_variants_none_of_which_both_have_are_an_obstacle(new: Results) -> None:
    assert "the two have no variant in common" in obstacles(renamed(new, "now"), renamed(new, "then"))


def renamed(run: Results, name: str) -> Results:
    """The run as if it had one variant, of that name."""
    return dataclasses.replace(run, made={name: next(iter(run.made.values()))})


def test_a_baseline_without_a_finished_unit_is_an_obstacle(new: Results, tmp_path: Path) -> None:
    folder = tmp_path / "begun"
    folder.mkdir()
    with Ledger.open(folder / "run.sqlite", dict(new.about), [UnitRow("a", "dense", "a")]):
        pass
    assert obstacles(new, read(folder)) == ["it has no finished unit (of 1 planned)"]


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
    assert len(found) == len(SUBJECT) + 3
    assert all("\n" not in line for line in found)


def test_reading_a_baseline_gives_every_reason_and_the_remedy(new: Results, build: Build) -> None:
    assert read_baseline(new, build("same")).about == new.about

    def change(facts: Facts) -> None:
        facts["subject"]["data_digest"] = "0" * 64
        facts["plan"]["train"] = {"epochs": 3}

    folder = build("old", change)
    with pytest.raises(NotComparableError) as caught:
        read_baseline(new, folder)
    text = str(caught.value)
    assert text.startswith(f"{folder} cannot be the baseline of this run: ")
    assert "data_digest" in text
    assert "its plan has other settings ([train] epochs)" in text
    assert "by this run's plan" in text


def test_a_folder_without_a_run_is_told(new: Results, build: Build, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="does not exist"):
        read_baseline(new, tmp_path / "none")
    folder = build("damaged")
    shutil.copy(__file__, folder / "run.sqlite")
    with pytest.raises(LedgerError, match="not a results file"):
        read_baseline(new, folder)
