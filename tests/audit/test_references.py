"""Reference models: made by the code that makes the variants, on halves that are known, and resumed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from attacks import membership
from audit import references
from audit.plan import load
from audit.preflight import preflight
from audit.subject import models, training
from audit.units import units

Write = Callable[[dict[str, Any]], Path]


@pytest.fixture
def alone(tiny: dict[str, Any]) -> dict[str, Any]:
    """The tiny plan with membership alone."""
    tiny["probes"] = {
        "skip": ["accuracy", "evasion", "extraction"],
        "membership": {
            "attacks": ["loss", "lira_online_shared"], "attackers": ["recipe_unknown", "pair", "versions"],
            "references": 2, "fpr": 0.1,
        },
    }  # fmt: skip
    return tiny


def test_two_references_share_no_example_and_are_as_large_as_the_model(
    alone: dict[str, Any], write_plan: Write
) -> None:
    subject = preflight(load(write_plan(alone)))
    halves = [references.halved(subject.data, subject.plan, i).train for i in range(2)]
    assert [len(half) for half in halves] == [100, 100]
    rows = [{row.tobytes() for row in half.x.numpy()} for half in halves]
    assert not rows[0] & rows[1]
    trained = {row.tobytes() for row in subject.data.train.x.numpy()}
    assert trained <= rows[0] | rows[1]
    assert 20 < len(trained & rows[0]) < 80


def test_every_variant_has_its_references_and_seeds_share_them(
    alone: dict[str, Any], write_plan: Write
) -> None:
    alone["pruning"]["seeds"] = [0, 1]
    subject = preflight(load(write_plan(alone)))
    found = units(subject.plan, subject.data, "cpu")
    made = [unit for unit in found if unit.kind == "reference"]
    variants = {"dense", "dense-finetuned", "global-magnitude@0.5", "filter-l2@0.5"}
    assert {unit.variant for unit in made} == variants
    assert len(made) == 2 * len(variants)
    ids = {unit.id for unit in found}
    for probe in (unit for unit in found if unit.probe == "membership"):
        company = probe.company
        assert [unit.variant for unit in made if unit.id in company.references] == 2 * [probe.variant]
        assert set(company.units) <= set(probe.parents) <= ids
        pruned = probe.variant != "dense"
        assert bool(company.dense) == bool(company.held) == pruned
        assert {name for name, _, _ in company.held} == (
            {"dense", "global-magnitude@0.5", "filter-l2@0.5"} - {probe.variant} if pruned else set()
        )


def test_more_references_leave_the_first_as_they_are(alone: dict[str, Any], write_plan: Write) -> None:
    def ids() -> list[str]:
        subject = preflight(load(write_plan(alone)))
        return [u.id for u in units(subject.plan, subject.data, "cpu") if u.kind == "reference"]

    few = ids()
    alone["probes"]["membership"]["references"] = 4
    assert set(few) < set(ids())


def test_a_run_keeps_what_references_say_and_resumes(
    alone: dict[str, Any], write_plan: Write, execute: Callable[..., Any], rows_of: Callable[..., Any],
    tmp_path: Path,
) -> None:  # fmt: skip
    """The reference's answers are those of a net that is trained by hand on its half."""
    out, path = tmp_path / "out", write_plan(alone)
    assert execute(path, out).failed == 0
    subject = preflight(load(path))
    plan, data = subject.plan, subject.data
    unit = next(u for u in units(plan, data, "cpu") if u.kind == "reference" and u.variant == "dense")
    net = models.fresh(models.builder(plan, data), unit.seed)
    whole = models.wrap(net, plan, data).requires_grad_(True)
    half = references.halved(data, plan, 0).train
    training.train(whole, half, plan.train, epochs=plan.train.epochs, seed=unit.seed)
    sides = membership.population(data.train, data.heldout)
    with torch.no_grad():
        wanted = whole(torch.cat([side.x for side in sides])).numpy()
    kept = np.load(references.file(out, unit.id))
    assert kept.shape == (200, 1, 10)
    assert kept[:, 0] == pytest.approx(wanted, abs=1e-5)
    again = execute(path, out)
    assert (again.computed, again.failed) == (0, 0)


def test_weights_from_outside_say_what_is_left_out(
    alone: dict[str, Any], write_plan: Write, tmp_path: Path
) -> None:
    subject = preflight(load(write_plan(alone)))
    plan = subject.plan.model_copy(update={"train": None})
    assert "no [train]" in references.lacking(plan, subject.data)
    found = references.gathered((), plan, subject.data, tmp_path)
    assert len(found) == 0
    assert "left out" in found.note


def test_a_reference_that_failed_is_left_out_and_told(
    alone: dict[str, Any], write_plan: Write, execute: Callable[..., Any], tmp_path: Path
) -> None:
    out, path = tmp_path / "out", write_plan(alone)
    execute(path, out)
    subject = preflight(load(path))
    made = [u.id for u in units(subject.plan, subject.data, "cpu") if u.kind == "reference"][:2]
    references.file(out, made[1]).unlink()
    found = references.gathered(made, subject.plan, subject.data, out)
    assert len(found) == 1
    assert "1 more could not be made" in found.note
    assert found.inside.shape == (1, 200)


def test_no_references_where_none_are_wanted(alone: dict[str, Any], write_plan: Write) -> None:
    alone["probes"]["membership"]["references"] = 0
    subject = preflight(load(write_plan(alone)))
    assert not [u for u in units(subject.plan, subject.data, "cpu") if u.kind == "reference"]
    assert load(write_plan(alone)).settings["membership"].wants_references is False
