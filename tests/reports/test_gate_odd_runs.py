"""Runs and policies with nothing to judge, or with less than it seems: each has its own words and code."""

from pathlib import Path
from types import ModuleType

from gate_lab_run import Make, clean, robust, rule, verdicts

from reports.data.ledger import Ledger, UnitRow
from reports.data.results import read


def test_a_run_without_a_finished_unit_is_said_to_be_one(tmp_path: Path, synthetic: ModuleType) -> None:
    with Ledger.open(tmp_path / "run.sqlite", synthetic.about(), [UnitRow("a", "dense", "a")]):
        pass
    found = verdicts(read(tmp_path), rule(min=0.4, variants=["*"]))
    assert found.exit_code == 4
    assert [d.reason for d in found.decisions] == ["no unit of this run has finished"]


def test_a_policy_of_which_no_rule_applies_is_said_to_be_one(make: Make) -> None:
    run = make([clean(), robust(0.4, 0.5, 0.6)])
    drop = rule(metric="latency", max_rise=1.0, variants=["*"])
    found = verdicts(run, rule(metric="tampering_accuracy", min=0.5), drop)
    assert (found.status, found.exit_code) == ("not_run", 4)
    assert found.remarks == ("no rule of this policy could be applied to any variant of this run",)
    assert verdicts(run, rule(min=0.3), drop).remarks == ()


def test_a_variant_with_fewer_seeds_than_the_others_does_not_pass(make: Make) -> None:
    """The worst of one seed is no worst of three."""
    rows = [one for seed in range(3) for one in (clean("m@0.5", seed), robust(0.5, 0.55, 0.6, seed))]
    rows += [clean("m@0.9"), robust(0.5, 0.55, 0.6, variant="m@0.9")]
    found = {d.variant: d for d in verdicts(make(rows), rule(min=0.4)).decisions}
    assert found["m@0.5"].status == "pass"
    assert found["m@0.9"].status == "not_run"
    assert found["m@0.9"].reason.endswith("; seed 1 has no row")


def test_a_brought_model_has_its_own_seeds(make: Make) -> None:
    rows = [one for seed in range(3) for one in (clean("m@0.5", seed), robust(0.5, 0.55, 0.6, seed))]
    rows += [clean("checkpoint"), robust(0.5, 0.55, 0.6, variant="checkpoint")]
    found = {d.variant: d.status for d in verdicts(make(rows), rule(min=0.4, variants=["*"])).decisions}
    assert found == {"m@0.5": "pass", "checkpoint": "pass"}
