"""What a run says of itself."""

from pathlib import Path

from audit.about import recipes
from audit.plan import parse
from pruning.recipe import Recipe


def test_every_method_of_the_plan_has_its_recipe() -> None:
    table = {
        "model": {"build": "audit.zoo:digits_cnn"},
        "data": {"source": "digits", "bounds": [0, 1]},
        "train": {"epochs": 1},
        "pruning": {"methods": ["filter-l2", {"hardness": "soft", "schedule": "polynomial"}]},
    }
    plan = parse(table, Path("plan.toml"))
    found = recipes(plan)
    assert plan.pruning is not None
    assert found.keys() == plan.pruning.recipes.keys()
    assert {name: Recipe.model_validate(told) for name, told in found.items()} == plan.pruning.recipes


def test_a_plan_without_pruning_has_none() -> None:
    table = {
        "model": {"build": "audit.zoo:digits_cnn"},
        "data": {"source": "digits", "bounds": [0, 1]},
        "train": {"epochs": 1},
    }
    assert recipes(parse(table, Path("plan.toml"))) == {}
