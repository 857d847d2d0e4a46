"""What a plan leaves out: said so, never a pass of a preset by itself, missed by one's own policy."""

import io
import json
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from gate_lab_run import Make, row
from rich.console import Console

from audit import gating
from reports.data.ledger import MeasurementRow
from reports.data.results import Results
from reports.exports.junit import render as junit
from reports.gate.judge import judge
from reports.gate.policy import FOLDER, parse, preset
from reports.page.render import render
from reports.story.analysis import analyse
from reports.story.headline import headline

SKIPPED = {"extraction": ["extraction_fidelity"], "membership": ["membership_auc"]}


def rows(variant: str, seed: int, *, robust: bool = True, leaks: bool = False) -> list[MeasurementRow]:
    """A model that gets 950 of 1,000 right, of which 930 withstand."""
    found = [row("accuracy", (0.95, 0.92, 0.97), variant, seed, probe="accuracy", hits=950, split="test")]
    if robust:
        at = {"attack": "worst_case", "norm": "linf", "eps": 0.01}
        found.append(row("robust_accuracy", (0.93, 0.9, 0.95), variant, seed, hits=930, **at))
    if leaks:
        at = {"attack": "loss"}
        found.append(row("membership_auc", (0.5, 0.48, 0.52), variant, seed, probe="membership", **at))
    return found


def run(make: Make, skipped: dict[str, list[str]], **more: bool) -> Results:
    found = make([r for seed in range(3) for v in ("dense", "m@0.5") for r in rows(v, seed, **more)])
    return replace(found, about=MappingProxyType({**found.about, "skipped": skipped}))


def test_a_preset_is_not_missing_what_the_plan_leaves_out(make: Make) -> None:
    found = judge(run(make, SKIPPED), preset("lenient"))
    assert (found.status, found.on("m@0.5")) == ("pass", "pass")
    assert set(found.unasked) == {"membership", "membership-rise", "extraction-rise"}
    assert "3 not asked" in found.applied_words
    assert {d.reason for d in found.decisions if not d.asked} == {
        "not asked: the plan leaves out membership", "not asked: the plan leaves out extraction",
    }  # fmt: skip


def test_it_is_said_wherever_the_verdict_is(make: Make) -> None:
    results = run(make, SKIPPED)
    found = judge(results, preset("lenient"))
    assert "without its rules membership" in headline(analyse(results), found)[0]
    console = Console(file=io.StringIO(), width=300)
    gating.show(found, Path("run"), console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "extraction-rise: not asked: the plan leaves out extraction" in said
    assert "NOT RUN" not in said
    told: dict[str, Any] = json.loads(json.dumps(gating.decisions(found)))
    words = {d["rule"]: d["status"] for d in told["decisions"] if d["variant"] == "m@0.5"}
    assert words["extraction-rise"] == "NOT ASKED"
    page = render(results, found)
    assert "NOT ASKED" in page
    assert "NOT ASKED: not asked" in junit(results, found)


@pytest.mark.parametrize("name", ["lenient", "standard", "strict"])
@pytest.mark.parametrize("leaks", [False, True])
def test_a_preset_does_not_pass_without_evasion(make: Make, name: str, leaks: bool) -> None:
    skipped = {"evasion": ["robust_accuracy"], **({} if leaks else SKIPPED)}
    found = judge(run(make, skipped, robust=False, leaks=leaks), preset(name))
    assert (found.status, found.exit_code) == ("not_run", 4)
    assert {found.on("dense"), found.on("m@0.5")} == {"not_run"}
    assert "the plan leaves out evasion, without which no preset passes" in {
        d.reason for d in found.decisions
    }


def test_what_is_gone_for_another_reason_is_missing_still(make: Make) -> None:
    assert judge(run(make, {}), preset("lenient")).status == "not_run"
    results = run(make, {"extraction": ["extraction_fidelity"]})
    assert judge(results, preset("lenient")).status == "not_run"  # membership was planned


def test_a_policy_of_ones_own_asks_all_that_it_says(make: Make) -> None:
    text = (FOLDER / "lenient.toml").read_text(encoding="utf-8")
    found = judge(run(make, SKIPPED), parse(text + "# ours\n"))
    assert (found.status, found.unasked) == ("not_run", ())
