"""Runs of the dense model alone: a preset must not pass what it says nothing of, or what nobody measured."""

import io

import numpy as np
import pytest
from gate_lab_run import Make, row, rule, verdicts
from rich.console import Console
from scipy import stats

from audit import gating
from reports.data.ledger import MeasurementRow
from reports.data.results import Results
from reports.gate.judge import judge
from reports.gate.policy import Policy, PolicyError, parse, preset
from reports.gate.status import limit_short, limit_words, told
from reports.page.render import render
from reports.story.analysis import analyse
from reports.story.headline import headline

N = 1000
PRESETS = ("lenient", "standard", "strict")
NONE = (None, None, None)


def model(withstand: int, *, seed: int = 0, variant: str = "dense", right: int = 950) -> list[MeasurementRow]:
    """A model that gets 950 of 1,000 right, of which so many withstand at 0.01, and none at 0.1."""
    rows = [
        row("accuracy", (right / N, 0.92, 0.97), variant, seed, probe="accuracy", hits=right, split="test")
    ]
    for eps, kept in ((0.01, withstand), (0.1, 0)):
        at = {"attack": "worst_case", "norm": "linf", "eps": eps}
        rows.append(row("robust_accuracy", (kept / N, 0.0, 1.0), variant, seed, hits=kept, **at))
    at = {"attack": "loss"}
    rows.append(row("membership_auc", (0.5, 0.48, 0.52), variant, seed, probe="membership", **at))
    tpr = (0.01, 0.005, 0.02)
    rows.append(row("membership_tpr", tpr, variant, seed, probe="membership", fpr=0.01, **at))
    return rows


def dense(withstand: int) -> list[MeasurementRow]:
    return [one for seed in range(3) for one in model(withstand, seed=seed)]


@pytest.mark.parametrize("name", PRESETS)
def test_a_model_that_withstands_nothing_passes_no_preset(make: Make, name: str) -> None:
    found = judge(make(dense(0)), preset(name))
    assert (found.status, found.exit_code) == ("fail", 1)
    assert judge(make(dense(900)), preset(name)).status == "pass"


@pytest.mark.parametrize("name", PRESETS)
def test_a_probe_that_crashed_passes_no_preset(make: Make, name: str) -> None:
    rows = [r for r in dense(900) if r.metric != "robust_accuracy"]
    rows += [row("robust_accuracy", NONE, "dense", seed, status="failed") for seed in range(3)]
    found = judge(make(rows), preset(name))
    assert (found.status, found.exit_code) == ("not_run", 4)


def test_a_probe_that_crashed_and_of_which_no_rule_speaks_passes_nothing(make: Make) -> None:
    crash = row("extraction_fidelity", NONE, "dense", probe="extraction", status="failed")
    results = make([*dense(900), crash])
    found = judge(results, preset("standard"))
    assert {d.status for d in found.decisions} == {"pass", "not_applicable"}
    assert (found.status, found.exit_code, found.on("dense")) == ("not_run", 4, "not_run")
    assert "extraction crashed on dense, and no rule of this policy speaks of it" in found.remarks
    (said,) = headline(analyse(results), found)
    assert "Extraction crashed: it is not shown to meet the policy “standard”" in said


def test_a_run_without_attacks_passes_no_preset(make: Make) -> None:
    rows = [r for r in dense(900) if r.metric == "accuracy"]
    assert judge(make(rows), preset("lenient")).status == "not_run"


def test_the_verdict_says_how_many_rules_apply(make: Make) -> None:
    results = make(dense(900))
    found = judge(results, preset("standard"))
    assert found.applied_words == "2 of 6 rules apply"
    (said,) = headline(analyse(results), found)
    assert "meets the policy “standard”, of which 2 of 6 rules apply to it" in said
    assert "for the run as a whole: 2 of 6 rules apply." in render(results, found)


def test_the_share_is_the_binomial_one_of_what_is_classified_rightly(make: Make) -> None:
    one = rule(min=0.5, of="clean", at={"attack": "worst_case", "eps": "smallest"}, variants=["*"])
    (decision,) = verdicts(make(model(500)), one).decisions
    exact = stats.binomtest(500, 950).proportion_ci(0.95)
    assert (decision.value, decision.n, decision.at["eps"]) == (500 / 950, 950, 0.01)
    assert (decision.low, decision.high) == pytest.approx((exact.low, exact.high))
    assert decision.status == "inconclusive"
    assert limit_words(one) == "at least 50.0% of clean accuracy"
    assert limit_short(one) == "≥ 50.0% of clean"
    assert told(decision).startswith("robust accuracy at ε = 0.01 is 52.6% of clean accuracy (")


def test_a_share_of_other_examples_decides_nothing(make: Make) -> None:
    rows = model(900)
    rows[0] = row("accuracy", (0.95, 0.9, 0.97), "dense", probe="accuracy", n=50, hits=48, split="test")
    (decision,) = verdicts(make(rows), rule(min=0.1, of="clean", variants=["*"])).decisions
    assert decision.status == "inconclusive"
    assert "no clean accuracy on the same examples" in decision.reason


def test_the_smallest_epsilon_is_that_of_each_norm_and_never_zero(make: Make) -> None:
    rows = model(900)
    for norm, eps, kept in (("linf", 0.0, 950), ("l2", 0.5, 800), ("l2", 1.0, 1)):
        at = {"attack": "worst_case", "norm": norm, "eps": eps}
        rows.append(row("robust_accuracy", (kept / N, 0.0, 1.0), "dense", hits=kept, **at))
    one = rule(min=0.5, of="clean", at={"attack": "worst_case", "eps": "smallest"}, variants=["*"])
    (decision,) = verdicts(make(rows), one).decisions
    assert (decision.value, decision.at["norm"]) == (800 / 950, "l2")
    assert decision.status == "pass"


def test_at_the_limit_a_share_passes_and_fails_seldom(make: Make) -> None:
    """Exact: each side is wrong for at most 2.5% of the outcomes, weighed by their chance."""
    law = stats.binom(950, 0.5)
    lower = [k for k in range(400, 551) if stats.binomtest(k, 950).proportion_ci(0.95).low > 0.5]
    assert law.pmf(lower).sum() < 0.025
    one = rule(min=0.5, of="clean", at={"eps": 0.01}, variants=["*"])
    assert verdicts(make(model(lower[0])), one).decisions[0].status == "pass"
    assert verdicts(make(model(lower[0] - 2)), one).decisions[0].status == "inconclusive"


@pytest.mark.parametrize(
    "keys", ['metric = "accuracy"\nmin = 0.5', 'metric = "robust_accuracy"\nmax_drop = 0.5']
)
def test_a_share_of_clean_accuracy_is_for_a_least_robust_accuracy_only(keys: str) -> None:
    with pytest.raises(PolicyError, match="of = 'clean' goes with a min on robust_accuracy only"):
        parse(f'[[rule]]\nid = "r"\n{keys}\nof = "clean"\n')


def test_a_pruned_model_is_held_to_the_floor_too(make: Make) -> None:
    """One that is as bad as dense has no drop."""
    rows = [r for name in ("dense", "m@0.5") for seed in range(3) for r in model(0, seed=seed, variant=name)]
    results: Results = make(rows)
    found = {(d.rule.id, d.variant): d.status for d in judge(results, preset("lenient")).decisions}
    assert found["robustness", "m@0.5"] == "pass"
    assert found["robustness-floor", "m@0.5"] == "fail"
    assert np.all([found["robustness-floor", name] == "fail" for name in ("dense", "m@0.5")])


def test_what_dense_does_not_meet_either_is_told_beside_the_answer(make: Make) -> None:
    rows = [r for name in ("dense", "m@0.5") for seed in range(3) for r in model(0, seed=seed, variant=name)]
    found = judge(make(rows), preset("standard"))
    said = headline(analyse(make(rows)), found)
    assert said[0].startswith("Do not ship any pruned version")
    assert said[1].startswith("Dense itself fails the policy: robust accuracy at ε = 0.01 is 0.0% of clean")


def test_the_terminal_has_the_answer_first_and_a_line_a_variant(make: Make) -> None:
    rows = [r for name in ("dense", "m@0.5") for seed in range(3) for r in model(0, seed=seed, variant=name)]
    results = make(rows)
    found = judge(results, preset("standard"))
    console = Console(file=io.StringIO(), width=400)
    gating.summary(results, found, console)
    said = console.file.getvalue().strip().splitlines()  # type: ignore[attr-defined]
    assert said[0] == headline(analyse(results), found)[0]
    (line,) = [line for line in said if line.startswith("m at 50%")]
    assert line.split()[3:6] == ["FAIL", "95.0%", "0.0%"]
    assert line.rstrip().endswith("robust accuracy at ε = 0.01: 0.0% of clean (≥ 25.0% of clean)")


def test_what_fails_is_not_called_undecided_too(make: Make) -> None:
    rows = [r for name in ("dense", "m@0.5") for seed in range(3) for r in model(0, seed=seed, variant=name)]
    rows += [row("membership_auc", (0.6, 0.5, 0.7), "m@0.5", 0, probe="membership", attack="lira")]
    results = make(rows)
    said = " ".join(headline(analyse(results), judge(results, preset("strict"))))
    assert "Do not ship any pruned version" in said
    assert "not decided" not in said


def test_a_pruned_model_of_which_a_probe_crashed_is_not_the_one_to_ship(make: Make) -> None:
    """Its rules all pass, and none of them speaks of what crashed."""
    policy = Policy((rule(metric="accuracy", min=0.5, variants=["*"]),), name="house")
    rows = [r for name in ("dense", "m@0.5", "m@0.9") for r in model(900, variant=name)]
    assert judge(make(rows), policy).status == "pass"
    rows.append(row("extraction_fidelity", NONE, "m@0.9", probe="extraction", status="failed"))
    results = make(rows)
    found = judge(results, policy)
    assert (found.on("m@0.5"), found.on("m@0.9"), found.status) == ("pass", "not_run", "not_run")
    said = headline(analyse(results), found)
    assert said[0].startswith("Ship m at 50%")
    assert said[1] == "Beyond it, at 90%, not all that was planned was measured."
