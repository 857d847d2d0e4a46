"""Recipes in the paper's words."""

import pytest

from reports.claims.study import Study, method, pruned


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({}, "weight, hard, one-shot"),
        ({"granularity": "unit"}, "structured, hard, one-shot"),
        ({"allocation": "layerwise"}, "layer-wise, hard, one-shot"),
        ({"allocation": "layerwise", "granularity": "unit"}, "layer-wise (structured), hard, one-shot"),
        ({"hardness": "soft"}, "weight, soft, one-shot"),
        ({"hardness": "soft-threshold", "schedule": "polynomial"}, "weight, soft, gradual"),
        ({"granularity": "unit", "schedule": "iterative"}, "structured, hard, gradual"),
    ],
)
def test_a_recipe_is_named_by_its_choices(recipe: dict[str, str], words: str) -> None:
    assert method(recipe).words == words


def test_controls_and_methods_of_unknown_recipe_are_no_methods(demo: Study) -> None:
    recipes = demo.results.about["recipes"]
    assert {m.kind for _, m, _ in pruned(demo)} == {"weight", "layer-wise", "structured"}
    try:
        recipes["filter-l2"]["criterion"] = "random"
        removed = recipes.pop("layer-magnitude")
        assert {variant.method for variant, _, _ in pruned(demo)} == {"global-magnitude"}
    finally:
        recipes["filter-l2"]["criterion"] = "magnitude"
        recipes["layer-magnitude"] = removed
