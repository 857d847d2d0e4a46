from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruning.errors import PruningError
from pruning.methods import methods
from pruning.recipe import Recipe
from pruning.schedule import compounding, polynomial, sparsities, stages

shares = st.floats(0, 0.999)


def test_polynomial_as_published():
    assert polynomial(0.5, 0.8, 4) == [0.5, 0.6734375, 0.7625, 0.7953125, 0.8]


@given(shares, shares, st.integers(1, 50))
def test_polynomial_rises_from_the_first_to_exactly_the_last(a, b, steps):
    low, high = sorted((a, b))
    ladder = polynomial(low, high, steps)
    assert (len(ladder), ladder[0], ladder[-1]) == (steps + 1, low, high)
    assert all(x <= y for x, y in pairwise(ladder))
    naive = [high + (low - high) * (1 - t / steps) ** 3 for t in range(steps + 1)]
    assert ladder == pytest.approx(naive, abs=1e-12)


@given(shares, st.integers(1, 20))
def test_compounding_takes_the_same_share_each_round_and_ends_exactly(final, rounds):
    ladder = compounding(final, rounds)
    assert (len(ladder), ladder[-1]) == (rounds, final)
    kept = [1 - s for s in [0.0, *ladder]]
    shares = [after / before for before, after in pairwise(kept)]
    assert shares == pytest.approx([(1 - final) ** (1 / rounds)] * rounds, rel=1e-9)


def test_two_rounds_of_half_are_three_quarters_and_not_one():
    assert compounding(0.75, 2) == [0.5, 0.75]


@given(st.lists(shares, min_size=1, max_size=30), st.integers(0, 200))
def test_stages_share_the_steps_and_miss_none(ladder, steps):
    found = stages(ladder, steps)
    assert [stage.sparsity for stage in found] == ladder
    assert found[0].start == 0
    assert found[-1].stop == steps
    assert all(a.stop == b.start for a, b in pairwise(found))
    lengths = [stage.stop - stage.start for stage in found]
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("epochs", [0, 1, 7])
@pytest.mark.parametrize("name", list(methods()))
def test_the_last_sparsity_of_every_preset_is_the_wanted_one(name, epochs):
    recipe = methods()[name].recipe
    wanted = 0.9 if recipe.sweeps else None
    ladder = sparsities(recipe, wanted, epochs)
    assert ladder[-1] == wanted
    if recipe.hardness != "hard" and recipe.schedule == "one-shot":
        assert ladder == [wanted] * max(1, epochs)


def test_a_polynomial_that_would_fall_is_refused():
    recipe = Recipe(schedule="polynomial", initial=0.6)
    with pytest.raises(PruningError, match=r"initial sparsity 0\.6 is above the wanted 0\.5"):
        sparsities(recipe, 0.5, 3)
