from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruning.errors import PruningError
from pruning.methods import methods
from pruning.recipe import Recipe
from pruning.schedule import asymptotic, compounding, epochs, polynomial, sparsities, stages

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


def test_asymptotic_goes_through_the_three_points_of_its_source():
    """He et al. 2019: (0, s_i), (n/8, ¾ of the way) and (n, s_f), on a·exp(−k·t) + b."""
    ladder = asymptotic(0.1, 0.9, 80)
    assert (ladder[0], ladder[-1]) == (0.1, 0.9)
    assert ladder[10] == pytest.approx(0.1 + 0.75 * 0.8, abs=1e-9)
    rises = [b - a for a, b in pairwise(ladder)]
    assert [b / a for a, b in pairwise(rises)] == pytest.approx([rises[1] / rises[0]] * 79, rel=1e-6)


@given(st.integers(2, 20), st.integers(0, 300), st.floats(0.05, 1))
def test_a_gradual_schedule_has_arrived_at_its_end(n, steps, end):
    found = stages([i / n for i in range(n)], steps, end)
    assert found[0].start == 0
    assert found[-1].stop == steps
    assert found[-1].start == round(end * steps)
    assert all(a.stop == b.start for a, b in pairwise(found))


def test_rounds_are_tuned_in_full_unless_they_share():
    """Han et al. 2015 retrain after each round; an equal budget is a variant with a name of its own."""
    assert epochs(Recipe(), 4) == epochs(Recipe(schedule="polynomial"), 4) == 4
    assert epochs(methods()["iterative-magnitude"].recipe, 4) == 20
    assert epochs(methods()["iterative-magnitude-equal-budget"].recipe, 4) == 4
    assert epochs(Recipe(schedule="iterative", steps=3, epochs_per_round=2), 4) == 6
    assert epochs(Recipe(recovery="none"), 4) == epochs(Recipe(rewind="weights"), 4) == 0
    assert epochs(Recipe(schedule="iterative", recovery="none"), 4) == 0
    for idle in (
        {},
        {"schedule": "iterative", "recovery": "none"},
        {"schedule": "iterative", "rewind": "weights"},
    ):
        with pytest.raises(ValueError, match="epochs_per_round does nothing here"):
            Recipe(epochs_per_round=2, **idle)
    names = {Recipe(schedule="iterative", epochs_per_round=e).name for e in ("all", "shared", 2)}
    assert len(names) == 3
