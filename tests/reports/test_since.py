"""What a report says of a baseline."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from reports.data.ledger import Ledger, MeasurementRow, UnitRow, VariantRow
from reports.data.results import Results, read
from reports.gate.judge import Verdicts, judge
from reports.gate.policy import Policy, Rule
from reports.page.render import render
from reports.page.since import since
from reports.story.analysis import analyse

POLICY = Policy(
    (Rule.model_validate({"id": "clean", "metric": "accuracy", "at": {"split": "test"}, "min": 0.85}),),
    name="house",
)


def accuracies(folder: Path, shares: dict[str, float], n: int = 1000) -> Results:
    """Exactly that share of n examples is right, the easiest first."""
    folder.mkdir()
    about = {"plan_digest": "d" * 20, "plan_name": folder.name, "subject": {"classes": list("0123456789")}}
    with Ledger.open(folder / "run.sqlite", about, [UnitRow(v, "accuracy", v) for v in shares]) as ledger:
        for variant, share in shares.items():
            method, _, sparsity = variant.partition("@")
            row = MeasurementRow(
                variant, 0, "accuracy", "accuracy", {"split": "test"}, share, share - 0.02, share + 0.02, n,
                outcomes={"correct": np.arange(n) < round(share * n)},
            )  # fmt: skip
            made = VariantRow(variant, 0, method, float(sparsity or 0), float(sparsity or 0))
            ledger.append(variant, variant=made, measurements=[row], seconds=1, finished="")
    return read(folder)


def verdicts(results: Results) -> Verdicts:
    return judge(results, POLICY)


def test_figures_are_this_run_minus_the_baseline_and_verdicts_are_judged_in_both(tmp_path: Path) -> None:
    before = accuracies(tmp_path / "before", {"dense": 0.95, "m@0.5": 0.94, "m@0.9": 0.92, "old@0.5": 0.9})
    now = accuracies(tmp_path / "now", {"dense": 0.95, "m@0.5": 0.94, "m@0.9": 0.80, "new@0.5": 0.9})
    found = since(analyse(now), verdicts(now), before)
    assert found.title == "before"
    assert found.figures is not None
    changes = {row[0].text: row[2] for row in found.figures.rows}
    assert changes["m@0.9"].value == pytest.approx(-0.12)
    assert changes["m@0.9"].verdict == "worse"
    assert changes["m@0.5"].value == 0
    assert found.verdicts is not None
    assert [
        (r[0].text, r[1].mark.word, r[2].mark.word) for r in found.verdicts.rows if r[1].mark and r[2].mark
    ] == [("m at 90%", "PASS", "FAIL")]
    assert found.summary == (
        "Worse than the baseline: clean accuracy of m at 90%.",
        "New here: new@0.5.",
        "Only in the baseline: old@0.5.",
    )


def test_a_run_against_itself_changed_nothing(tmp_path: Path) -> None:
    run = accuracies(tmp_path / "run", {"dense": 0.95, "m@0.5": 0.9})
    found = since(analyse(run), verdicts(run), run)
    assert found.summary == (
        "No figure is shown to differ from the baseline’s.", "No verdict changed under this policy.",
    )  # fmt: skip
    assert found.verdicts is None


@pytest.mark.parametrize("also", [(), POLICY.rules])
def test_a_copy_changed_nothing_under_rules_against_the_baseline(
    tmp_path: Path, also: tuple[Rule, ...]
) -> None:
    """The baseline has no baseline of its own: that its rules were not run there is no change."""
    run = accuracies(tmp_path / "run", {"dense": 0.95, "m@0.5": 0.9, "m@0.9": 0.8})
    keys = {"id": "kept", "metric": "accuracy", "max_drop": 0.05, "against": "baseline"}
    policy = Policy((Rule.model_validate(keys), *also), name="house")
    found = since(analyse(run), judge(run, policy, run), run)
    assert found.verdicts is None
    assert found.summary[0] == "No figure is shown to differ from the baseline’s."
    assert found.summary[1:] == (("No verdict changed under this policy.",) if also else ())


def test_the_page_has_the_section_only_where_there_is_a_baseline(
    tmp_path: Path, synthetic: ModuleType
) -> None:
    run = read(synthetic.build(tmp_path, seeds=[0], methods=["m"], n=60, sparsities=[0.5]))
    assert 'id="since"' not in render(run, verdicts(run))
    page = render(run, verdicts(run), run)
    assert 'id="since"' in page
    assert "No figure is shown to differ from the baseline’s." in page
