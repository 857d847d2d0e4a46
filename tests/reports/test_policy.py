"""Policy files: what is read, and what a mistake is told."""

import re
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

from reports.policy import KINDS, PolicyError, Rule, find, load, parse, preset, presets

RULE = '[[rule]]\nid = "a"\nmetric = "robust_accuracy"\nmin = 0.4\n'


def test_the_example_of_the_design_is_read_whole() -> None:
    policy = parse(
        """
[[rule]]
id = "robust-0.1"
metric = "robust_accuracy"
at = { norm = "linf", eps = 0.1, attack = "worst_case" }
min = 0.4
variants = ["*"]
min_n = 500
severity = "high"

[[waiver]]
rule = "robust-0.1"
variant = "filter-l2@0.95"
expires = 2027-03-01
reason = "never shipped"
""",
        "ci/policy.toml",
    )
    rule, waiver = policy.rules[0], policy.waivers[0]
    assert (rule.kind, rule.limit, rule.min_n, rule.severity) == ("min", 0.4, 500, "high")
    assert dict(rule.at) == {"norm": "linf", "eps": 0.1, "attack": "worst_case"}
    assert waiver.expires == date(2027, 3, 1)
    assert (policy.name, policy.file, policy.lines) == ("policy", "ci/policy.toml", {"robust-0.1": 2})
    assert re.fullmatch("[0-9a-f]{64}", policy.digest)


def test_a_radius_may_be_a_fraction() -> None:
    assert parse(RULE + 'at = { eps = "8/255" }').rules[0].at["eps"] == 8 / 255


def test_rules_know_their_lines_even_when_text_looks_like_a_rule() -> None:
    second = '\n# two\n[[rule]]\nid = "b"\nmetric = "accuracy"\nmax_drop = 0.1\n'
    assert parse(RULE + second).lines == {"a": 1, "b": 7}
    tricky = RULE + 'description = """\n[[rule]]\n"""\n'
    assert parse(tricky + second).lines == {"a": 1, "b": 1}  # not told apart: the file's first line
    assert parse('rule = [{ id = "a", metric = "accuracy", min = 0.5 }]').lines == {"a": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "rule: is missing; add it"),
        ("rule = []", "rule: "),
        ("rule = 3", "rule: "),
        ("rule = [3]", "rule 1"),
        ("[[rule]\n", "not valid TOML"),
        (RULE + "mni_n = 5", "rule 1 (a): mni_n: unknown key; remove it or mend its spelling"),
        (RULE + "\n[extra]\n", "extra: unknown key"),
        (RULE + "max = 0.5", "give exactly one of min, max, max_drop, max_rise; given: min, max"),
        (RULE.replace("min = 0.4", ""), "given: none"),
        (RULE.replace("0.4", "40"), "rule 1 (a): min of a share lies between 0 and 1 (0.4 is 40%), not 40"),
        (RULE.replace("0.4", "nan"), "rule 1 (a): min"),
        (RULE.replace("0.4", "inf"), "rule 1 (a): min"),
        (RULE.replace("0.4", "true"), "rule 1 (a): min"),
        (RULE.replace("0.4", '"0.4"'), "rule 1 (a): min"),
        (RULE.replace("min = 0.4", "max = 0.4"), "never stops a bad robust_accuracy, where lower is worse"),
        (RULE.replace("min = 0.4", "max_rise = 0.4"), "use min or max_drop"),
        (RULE.replace("min = 0.4", "max_drop = -0.1"), "rule 1 (a): max_drop"),
        (RULE.replace("robust_accuracy", "membership_auc"), "where higher is worse; use max or max_rise"),
        (RULE + 'against = "dense"', "against goes with max_drop or max_rise, not with min"),
        (RULE.replace("min = 0.4", 'max_drop = 0.1\nagainst = "last year"'), "rule 1 (a): against"),
        (RULE + "variants = []", "rule 1 (a): variants"),
        (RULE + "min_n = 0", "rule 1 (a): min_n"),
        (RULE + "min_n = 1.5", "rule 1 (a): min_n"),
        (RULE + 'severity = "terrible"', "rule 1 (a): severity"),
        (RULE + "at = 3", "rule 1 (a): at"),
        (RULE + "at = { eps = [0.1] }", "eps must be a number or text"),
        (RULE + "at = { eps = true }", "eps must be a number or text"),
        (RULE + "at = { eps = nan }", "eps must be finite"),
        (RULE + 'at = { eps = "1/0" }', "a fraction such as '8/255'"),
        (RULE + 'at = { eps = "large" }', "a fraction such as '8/255'"),
        (RULE.replace('"a"', '"<script>"'), "rule 1 (<script>): id"),
        (RULE.replace('"a"', '""'), "rule 1 (): id"),
        (RULE + RULE, "rule ids must differ; given twice: a"),
        (RULE + '[[waiver]]\nrule = "a"\nvariant = "v"\nreason = "r"', "waiver 1 (a): expires: is missing"),
        (
            RULE + '[[waiver]]\nrule = "a"\nvariant = "v"\nreason = "r"\nexpires = "soon"',
            "waiver 1 (a): expires",
        ),
        (
            RULE + '[[waiver]]\nrule = "a"\nvariant = "v"\nreason = ""\nexpires = 2027-01-01',
            "waiver 1 (a): reason",
        ),
    ],
)
def test_a_mistake_names_file_key_and_remedy(text: str, said: str) -> None:
    with pytest.raises(PolicyError) as error:
        parse(text, "my/policy.toml")
    assert all(line.startswith("my/policy.toml: ") for line in str(error.value).splitlines())
    assert said in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(
        PolicyError, match=r"no such file, and no preset either \(there are: lenient, standard"
    ):
        load(tmp_path / "absent.toml")
    with pytest.raises(PolicyError, match="cannot be read"):
        load(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"# \xe9")
    with pytest.raises(PolicyError, match="cannot be read"):
        load(tmp_path / "latin.toml")
    with pytest.raises(PolicyError, match="there is no preset 'safe'"):
        preset("safe")


def test_presets_grow_stricter() -> None:
    assert list(presets()) == ["lenient", "standard", "strict"]
    policies = [find(name) for name in presets()]
    for weaker, stronger in pairwise(policies):
        assert [r.id for r in weaker.rules] == [r.id for r in stronger.rules]
        for easy, hard in zip(weaker.rules, stronger.rules, strict=True):
            assert (easy.metric, easy.at, easy.kind) == (hard.metric, hard.at, hard.kind)
            assert (hard.limit < easy.limit) == (hard.kind != "min")
            assert (easy.min_n or 0, easy.min_seeds or 0) <= (hard.min_n or 0, hard.min_seeds or 0)
            assert easy.description
            assert easy.description == hard.description


def test_a_metric_of_a_plugin_takes_any_limit() -> None:
    for kind in KINDS:
        assert Rule.model_validate({"id": "a", "metric": "of_a_plugin", kind: 7.0}).limit == 7
