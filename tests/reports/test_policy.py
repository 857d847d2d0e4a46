"""Mistakes in a policy file: each message names the file, the rule, the key and the remedy."""

import dataclasses
import hashlib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from reports.gate.policy import PolicyError, find, load, parse, preset, presets

GOOD = """\
[[rule]]
id = "clean"
metric = "accuracy"
at = { split = "test" }
min = 0.9

[[rule]]
id = "robust"
metric = "robust_accuracy"
at = { attack = "worst_case", eps = "8/255" }
max_drop = 0.05
against = "dense"
variants = ["*@0.5", "m@0.9"]
min_n = 100
min_seeds = 3
severity = "critical"
description = "Why it is asked."

[[waiver]]
rule = "robust"
variant = "m@0.9"
expires = 2026-12-31
reason = "Retraining is under way."
"""


def message(text: str) -> str:
    with pytest.raises(PolicyError) as caught:
        parse(text, "ci/house.toml")
    return str(caught.value)


def test_a_policy_says_what_it_was_read_from(tmp_path: Path) -> None:
    path = tmp_path / "house.toml"
    path.write_text(GOOD, encoding="utf-8")
    policy = load(path)
    assert (policy.name, policy.file) == ("house", "house.toml")
    assert policy.digest == hashlib.sha256(GOOD.encode()).hexdigest()
    assert policy.lines == {"clean": 1, "robust": 7}
    clean, robust = policy.rules
    assert (clean.kind, clean.limit, clean.compares, clean.severity) == ("min", 0.9, False, "medium")
    assert clean.variants == ("*",)
    assert (robust.kind, robust.limit, robust.reference) == ("max_drop", 0.05, "dense")
    assert robust.at == {"attack": "worst_case", "eps": 8 / 255}
    assert policy.waivers[0].expires == date(2026, 12, 31)


def test_a_policy_does_not_change() -> None:
    policy: Any = parse(GOOD)
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.name = "other"
    with pytest.raises(ValidationError):
        policy.rules[0].min = 0.1


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("min = 0.9", "minimum = 0.9", ["rule 1 (clean)", "minimum", "unknown key; remove it or mend"]),
        ("min = 0.9\n", "", ["rule 1 (clean)", "exactly one of min, max, max_drop, max_rise", "given: none"]),
        ("min = 0.9", "min = 0.9\nmax_drop = 0.1", ["rule 1 (clean)", "given: min, max_drop"]),
        (
            "min = 0.9",
            "max = 0.9",
            ["rule 1 (clean)", "max never stops a bad accuracy", "use min or max_drop"],
        ),
        ("min = 0.9", "max_rise = 0.9", ["rule 1 (clean)", "max_rise never stops", "use min or max_drop"]),
        ("min = 0.9", "min = 90", ["rule 1 (clean)", "min", "between 0 and 1 (0.4 is 40%)", "90"]),
        ("min = 0.9", "min = -0.1", ["rule 1 (clean)", "min", "between 0 and 1"]),
        ("min = 0.9", 'min = "0.9"', ["rule 1 (clean)", "min", "valid number", "'0.9'"]),
        ("min = 0.9", "min = nan", ["rule 1 (clean)", "min", "finite number", "nan"]),
        ("min = 0.9", "min = true", ["rule 1 (clean)", "min", "valid number", "True"]),
        ("min = 0.9", 'min = 0.9\nagainst = "dense"', ["rule 1 (clean)", "against goes with max_drop"]),
        (
            "max_drop = 0.05",
            "max_drop = -0.05",
            ["rule 2 (robust)", "max_drop", "greater than or equal to 0"],
        ),
        ('against = "dense"', 'against = "last"', ["rule 2 (robust)", "against", "'dense' or 'baseline'"]),
        ('id = "robust"', 'id = "clean"', ["rule", "ids must differ", "given twice: clean"]),
        ('id = "clean"', "", ["rule 1", "id", "is missing; add it"]),
        ('id = "clean"', 'id = "a b"', ["rule 1 (a b)", "id", "pattern"]),
        ('id = "clean"', 'id = ""', ["rule 1", "id", "pattern"]),
        ('metric = "accuracy"\n', "", ["rule 1 (clean)", "metric", "is missing; add it"]),
        ('"8/255"', '"8/0"', ["rule 2 (robust)", "at", "fraction such as '8/255'", "8/0"]),
        ('"8/255"', "[1]", ["rule 2 (robust)", "at", "eps must be a number or text"]),
        ('"8/255"', "nan", ["rule 2 (robust)", "at", "eps must be finite"]),
        ("min_n = 100", "min_n = 0", ["rule 2 (robust)", "min_n", "greater than or equal to 1", "0"]),
        ("min_n = 100", "min_n = 1.5", ["rule 2 (robust)", "min_n", "integer", "1.5"]),
        ("min_seeds = 3", 'min_seeds = "3"', ["rule 2 (robust)", "min_seeds", "integer"]),
        ('"critical"', '"grave"', ["rule 2 (robust)", "severity", "'low', 'medium', 'high' or 'critical'"]),
        ('["*@0.5", "m@0.9"]', "[]", ["rule 2 (robust)", "variants", "at least 1"]),
        ("2026-12-31", '"soon"', ["waiver 1 (robust)", "expires", "date", "'soon'"]),
        ("expires = 2026-12-31\n", "", ["waiver 1 (robust)", "expires", "is missing; add it"]),
        ('"Retraining is under way."', '""', ["waiver 1 (robust)", "reason", "at least 1 character"]),
        ("[[waiver]]", "[[waivers]]", ["waivers", "unknown key"]),
        ("[[rule]]", "[rule", ["not valid TOML", "line 1"]),
    ],
)
def test_each_mistake_names_file_rule_key_and_remedy(old: str, new: str, parts: list[str]) -> None:
    assert old in GOOD
    text = message(GOOD.replace(old, new, 1))
    assert text.startswith("ci/house.toml: ")
    for part in parts:
        assert part in text, text


def test_a_share_that_leaks_has_no_minimum() -> None:
    text = message('[[rule]]\nid = "leak"\nmetric = "membership_auc"\nmin = 0.6\n')
    assert "ci/house.toml: rule 1 (leak)" in text
    assert "use max or max_rise" in text


def test_all_mistakes_are_told_at_once() -> None:
    lines = message(GOOD.replace("min = 0.9", "minimum = 0.9").replace("min_n = 100", "min_n = 0")).split(
        "\n"
    )
    assert len(lines) >= 2
    assert all(line.startswith("ci/house.toml: rule ") for line in lines)


@pytest.mark.parametrize(
    "text", ["", "rule = []", "rule = 3", "rule = [3]", "[[waiver]]", "[rule]\nid = 'x'"]
)
def test_a_policy_without_usable_rules_is_refused(text: str) -> None:
    assert message(text).startswith("ci/house.toml: rule")


def test_one_table_in_place_of_a_list_of_them_is_told_how() -> None:
    assert "one table [[rule]] for each" in message("[rule]\nid = 'x'")


def test_hostile_text_is_told_and_not_obeyed() -> None:
    evil = "<script>alert(1)</script>[bold]\\u001b[31m"
    text = message(f'[[rule]]\nid = "{evil}"\nmetric = "accuracy"\nmin = 0.5\n')
    assert "\x1b" not in text
    text = message('[[rule]]\nid = "x"\nmetric = "accuracy"\nmin = 1\n"key\\u001b[31m\\n" = 2\n')
    assert "unknown key" in text
    assert text.isprintable()
    (rule,) = parse(f'[[rule]]\nid = "x"\nmetric = "{evil}"\nmin = 0.5\n').rules
    assert rule.metric == evil.replace("\\u001b", "\x1b")


def test_a_file_that_is_not_there_or_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"none\.toml: no such file.*lenient, standard, strict"):
        load(tmp_path / "none.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PolicyError, match=r"binary\.toml: cannot be read"):
        load(binary)
    with pytest.raises(PolicyError, match="cannot be read"):
        load(tmp_path)


def test_a_preset_is_found_by_its_name_and_a_file_by_its_path(tmp_path: Path) -> None:
    assert list(presets()) == ["lenient", "standard", "strict"]
    assert find("strict") == preset("strict")
    path = tmp_path / "strict.toml"
    path.write_text(GOOD, encoding="utf-8")
    assert find(path).rules == parse(GOOD).rules
    with pytest.raises(PolicyError, match="no preset 'house'"):
        preset("house")


def test_a_metric_of_a_plugin_takes_any_limit() -> None:
    for kind in ("min", "max", "max_drop", "max_rise"):
        (rule,) = parse(f'[[rule]]\nid = "x"\nmetric = "my_metric"\n{kind} = 7\n').rules
        assert (rule.kind, rule.limit) == (kind, 7)


def test_the_seed_that_ships_is_named_once_for_all_rules_or_by_one() -> None:
    policy = parse("seed = 1\n" + GOOD.replace("min_seeds = 3", "seed = 2"))
    assert [rule.seed for rule in policy.rules] == [1, 2]
    assert [rule.seed for rule in parse(GOOD).rules] == [None, None]
    assert policy.lines == {"clean": 2, "robust": 8}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed = 1\n" + GOOD, "min_seeds asks for 3"),
        ("seed = -1\n" + GOOD.replace("min_seeds = 3", ""), "greater than or equal to 0"),
        ("seed = true\n" + GOOD.replace("min_seeds = 3", ""), "seed"),
        (GOOD.replace("min_seeds = 3", "seed = 'all'"), "seed"),
    ],
)
def test_a_seed_that_cannot_be_is_refused(text: str, said: str) -> None:
    assert said in message(text)
