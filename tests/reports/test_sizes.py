"""How many examples a policy needs: the figures of docs/gate.md and of preflight."""

import dataclasses
from pathlib import Path

import pytest

from reports.gate.policy import Policy, Rule, preset, presets
from reports.gate.sizes import DEMO, Design, examples, rounded, sentence, table

ROOT = Path(__file__).parents[2]


def rule(**keys: object) -> Rule:
    return Rule.model_validate({"id": "r", "metric": "robust_accuracy", **keys})


def test_the_guide_shows_the_table_that_the_command_prints() -> None:
    guide = (ROOT / "docs" / "gate.md").read_text(encoding="utf-8")
    shown = guide.split("<!-- python benchmarks/error_rates.py --table -->")[1].split("<!-- end -->")[0]
    assert shown.strip() == table({name: preset(name) for name in presets()})


def test_the_guide_tells_the_margins_that_the_presets_have() -> None:
    guide = (ROOT / "docs" / "gate.md").read_text(encoding="utf-8")
    rows = [line.split("|")[2:5] for line in guide.split("| asks | `lenient`")[1].splitlines()[2:10]]
    for i, name in enumerate(presets()):
        asked = [row for row in rows if row[i].strip() != "–"]
        for row, one in zip(asked, preset(name).rules, strict=True):
            told = row[i].split()[0].rstrip(",%")
            limit = one.limit if one.metric.startswith("membership") else one.limit * 100
            assert float(told) == pytest.approx(limit), (name, one.id)
            assert ("3 seeds" in row[i]) == (one.min_seeds == 3)


@pytest.mark.parametrize(
    ("name", "n", "members"), [("lenient", 200, 100), ("standard", 500, 200), ("strict", 3000, 1600)]
)
def test_each_preset_decides_at_the_size_that_it_is_for(name: str, n: int, members: int) -> None:
    for one in preset(name).rules:
        needs = examples(one, Design(seeds=3))
        if one.of or one.metric == "membership_tpr":  # depends on the model's own figure
            assert needs is None
            continue
        assert needs is not None
        assert needs <= (members if one.metric == "membership_auc" else n), one.id


@pytest.mark.parametrize(
    "more", [{"seeds": 5}, {"methods": 9}, {"sparsities": 8}, {"readings": {**DEMO, "robust_accuracy": 20}}]
)
def test_each_test_that_must_be_survived_costs_examples(more: dict[str, int]) -> None:
    one = rule(max_drop=0.05)
    few, many = examples(one, Design()), examples(one, dataclasses.replace(Design(), **more))
    assert few is not None
    assert many is not None
    assert many > few


def test_a_smaller_margin_costs_more_and_an_absolute_limit_is_not_foretold() -> None:
    wide, narrow = (examples(rule(max_drop=margin), Design()) for margin in (0.1, 0.02))
    assert wide is not None
    assert narrow is not None
    assert narrow > 10 * wide
    assert examples(rule(max_drop=0.1, min_n=10**6), Design()) == 10**6
    for one in (rule(min=0.4), rule(max_drop=0.0), rule(metric="latency", max_rise=1.0)):
        assert examples(one, Design()) is None
    one_eps = examples(rule(max_drop=0.05, at={"eps": 0.1}), Design())
    every = examples(rule(max_drop=0.05), Design())
    assert one_eps is not None
    assert every is not None
    assert one_eps < every


def test_with_one_claim_it_is_the_closed_form() -> None:
    """A leak-free AUC of one model: (1.96 + 0.84)² / 6 over the squared margin."""
    design = Design(methods=1, sparsities=1, seeds=1, readings={"membership_auc": 1})
    found = examples(rule(metric="membership_auc", max=0.6), design)
    assert found == pytest.approx((1.959964 + 0.841621) ** 2 / 6 / 0.1**2, abs=1)


def test_numbers_are_rounded_up_to_two_digits() -> None:
    assert [rounded(n) for n in (7, 99, 101, 1234, 12_000)] == [7, 99, 110, 1300, 12_000]


def test_what_can_and_cannot_be_decided_is_said() -> None:
    rules = (
        rule(max_drop=0.08),
        rule(id="small", max_drop=0.01),
        rule(id="seeds", max_drop=0.1, min_seeds=5),
        rule(id="leak", metric="membership_auc", max=0.6),
        rule(id="floor", min=0.4),
        rule(id="copy", metric="extraction_fidelity", max_rise=0.1),
    )
    design = Design(readings={**DEMO, "extraction_fidelity": 0})
    said = sentence(Policy(rules, name="house"), design, 500, 100).split("; ")
    assert said[0] == "with 500 examples, 100 members and 3 seeds, house can decide r"
    assert said[1].startswith("small needs n = ")
    assert said[2] == "seeds needs 5 seeds"
    assert said[3].startswith("leak needs members = ")
    assert said[4] == "copy needs extraction_fidelity, which the plan does not measure"
    assert said[5] == "what floor needs depends on the figures"
