"""Published findings beside ours: what is told is what the rows say, and what has no rows is not tested."""

from collections.abc import Callable
from dataclasses import replace
from statistics import fmean

from reports.claims import Study, judge, markdown
from reports.claims.field import NOTHING, field
from reports.claims.figures import DENSE, Reading, by_seed
from reports.data.results import Results


def test_the_loss_attack_on_dense_is_told_as_the_rows_have_it(demo: Study) -> None:
    attacks, leaks, _ = field([demo])
    values = by_seed(demo, DENSE, Reading("membership_auc", {"attack": "loss"}))
    assert values
    told = {figure.name.split(":")[0]: figure for figure in attacks.figures}
    loss = next(figure for name, figure in told.items() if "loss" in name)
    assert loss.ours.startswith(f"AUC {fmean(values.values()):.3f} ({min(values.values()):.3f}–")
    assert loss.printed.startswith("AUC 0.592")
    pruned = by_seed(demo, "global-magnitude@0.9", Reading("membership_auc", {"attack": "loss"}))
    assert pruned
    names = [figure.name for figure in leaks.figures]
    assert any("90% sparsity" in name for name in names)


def test_sparsity_on_lenet5_and_mnist_is_told_of_those_alone(demo: Study) -> None:
    assert field([demo])[2].figures == ()
    assert field([demo])[2].why == (NOTHING,)
    lenet = replace(demo, name="mnist-lenet5", data="mnist", architecture="lenet5")
    found = field([demo, lenet])[2]
    assert found.figures
    assert all("mnist, lenet5" in figure.name for figure in found.figures)
    assert all("pairs" in figure.ours or "nothing that counts" in figure.ours for figure in found.figures)


def test_rounds_stand_beside_the_same_method_at_once(written: Callable[..., Results]) -> None:
    at_once = {
        "criterion": "magnitude",
        "granularity": "weight",
        "allocation": "global",
        "schedule": "one-shot",
    }
    recipes = {
        "global-magnitude": at_once,
        "layer-magnitude": {**at_once, "schedule": "iterative", "steps": 5, "epochs_per_round": "all"},
        "filter-l2": {**at_once, "granularity": "unit", "schedule": "iterative", "steps": 5},
    }
    study = Study("rounds", "digits", "cnn", "none", written(facts={"recipes": recipes}))
    rounds = [f for f in field([study])[1].figures if f.printed == "rises (WEMEM 2025)"]
    assert rounds
    assert all("by layer-magnitude" in figure.name for figure in rounds)  # filter-l2 has no twin


def test_what_was_not_measured_is_not_tested(demo: Study, without: Callable[..., Results]) -> None:
    bare = replace(demo, results=without(demo.results, "membership_auc", "membership_tpr"))
    attacks, leaks, _ = field([bare])
    assert attacks.figures == leaks.figures == ()
    assert attacks.why == leaks.why == (NOTHING,)


def test_the_order_of_studies_does_not_matter_and_the_document_has_it(demo: Study) -> None:
    other = replace(demo, name="another")
    assert field([demo, other]) == field([other, demo])
    assert "## The field's findings, beside ours" in markdown(judge([demo]))
