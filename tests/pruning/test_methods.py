import pytest

from pruning.criteria import criteria
from pruning.errors import PruningError
from pruning.methods import methods, resolve
from pruning.recipe import Recipe


def test_presets_are_named_by_themselves_and_say_where_they_come_from():
    for name, method in methods().items():
        assert resolve(name) == (name, method.recipe)
        assert method.name == name
        assert method.summary
        assert "arXiv" in method.source


def test_every_criterion_has_a_line_and_a_source():
    assert {"magnitude", "random"} <= set(criteria())
    for name, criterion in criteria().items():
        assert criterion.name == name
        assert criterion.summary
        assert criterion.source


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ({}, "magnitude-weight-global"),
        ({"criterion": "random", "allocation": "uniform"}, "random-weight-uniform"),
        ({"criterion": "magnitude", "granularity": "unit"}, "magnitude-unit-global-l2"),
        ({"granularity": "unit", "norm": "l1"}, "magnitude-unit-global-l1"),
    ],
)
def test_a_table_is_named_by_its_choices(entry, name):
    assert resolve(entry) == (name, Recipe(**entry))


@pytest.mark.parametrize("method", methods().values(), ids=lambda m: m.name)
def test_a_recipe_survives_json(method):
    assert Recipe.model_validate_json(method.recipe.model_dump_json()) == method.recipe
    assert hash(Recipe(**method.recipe.model_dump())) == hash(method.recipe)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("magic", "no pruning method is named 'magic'; there are: global-magnitude, layer-magnitude"),
        (
            {"criterion": "magic"},
            f"criterion: no criterion is named 'magic'; there are: {', '.join(criteria())}",
        ),
        ({"granularity": "layer"}, "granularity: Input should be 'weight' or 'unit'"),
        ({"sparsity": 0.5}, "unknown key 'sparsity'; there are: criterion, granularity, allocation, norm"),
        ({"norm": "l1"}, "norm combines the scores within a unit"),
    ],
)
def test_entries_that_make_no_sense_are_explained(entry, message):
    with pytest.raises(PruningError) as caught:
        resolve(entry)
    assert message in str(caught.value)
