from fractions import Fraction

import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

from pruning import allocation, masks, prunable
from pruning.allocation import Layer
from pruning.errors import PruningError
from pruning.methods import methods
from pruning.prune import prune
from pruning.recipe import Recipe

RULES = ("global", "uniform", "row", "erk", "lamp", "layerwise", "normalised")
sizes = st.lists(st.integers(1, 40), min_size=1, max_size=6)
shares = st.floats(0, 1, exclude_max=True)


def layered(sizes: list[int], seed: int, levels: int = 5) -> dict[str, Tensor]:
    """Scores with many ties: integers below ``levels``."""
    generator = torch.Generator().manual_seed(seed)
    return {f"l{i}": torch.randint(levels, (n,), generator=generator).float() for i, n in enumerate(sizes)}


def masks_of(scores: dict[str, Tensor], zeros: int, rule: str) -> dict[str, Tensor]:
    """Masks of layers whose other facts differ from one another; rows are two long, where they fit."""
    layers = {
        name: Layer(s, row=2 if len(s) % 2 == 0 else 1, dims=2 + len(s) ** 0.5, sensitivity=(7 * i) % 5)
        for i, (name, s) in enumerate(scores.items())
    }
    return allocation.masks(layers, zeros, rule)


def dropped(kept: dict[str, Tensor]) -> int:
    return sum(int((~mask).sum()) for mask in kept.values())


def removable(sizes: list[int]) -> int:
    return sum(sizes) - len(sizes)


@given(sizes, shares, st.integers(0, 99), st.sampled_from(RULES))
def test_count_is_exact_with_ties_and_no_layer_is_emptied(sizes, share, seed, rule):
    scores = layered(sizes, seed)
    zeros = round(share * removable(sizes))
    kept = masks_of(scores, zeros, rule)
    assert dropped(kept) == zeros
    for name, mask in kept.items():
        assert mask.any()
        if not mask.all() and rule != "row":  # within a layer the lowest go, ties by index
            gone = [(float(s), i) for i, s in enumerate(scores[name]) if not mask[i]]
            stay = [(float(s), i) for i, s in enumerate(scores[name]) if mask[i]]
            assert max(gone) < min(stay)


@given(sizes, shares, shares, st.integers(0, 99), st.sampled_from(RULES))
def test_masks_nest_as_sparsity_grows(sizes, a, b, seed, rule):
    scores = layered(sizes, seed)
    low, high = (masks_of(scores, round(s * removable(sizes)), rule) for s in sorted((a, b)))
    assert all((high[name] <= low[name]).all() for name in scores)


@given(sizes, st.integers(0, 99), shares)
@example([1, 27, 40, 33], 26, 0.546875)
def test_global_is_one_ranking_where_no_layer_is_at_stake(sizes, seed, share):
    scores = layered(sizes, seed, levels=1000)
    flat = torch.cat(list(scores.values()))
    zeros = round(share * len(flat))
    naive = torch.ones(len(flat), dtype=torch.bool)
    ranked, order = torch.sort(flat, stable=True)
    naive[order[:zeros]] = False
    assume(not 0 < zeros < len(flat) or ranked[zeros - 1] < ranked[zeros])  # ties have a rule of their own
    if all(part.any() for part in naive.split(sizes)):
        kept = masks_of(scores, zeros, "global")
        assert torch.equal(torch.cat(list(kept.values())), naive)


def test_global_spares_a_layers_last_weight_and_takes_the_next():
    scores = {"small": torch.tensor([1.0, 2.0]), "large": torch.tensor([3.0, 4.0, 5.0, 6.0])}
    kept = masks_of(scores, 3, "global")
    assert kept["small"].tolist() == [False, True]
    assert kept["large"].tolist() == [False, False, True, True]


@given(sizes, shares)
def test_uniform_counts_round_one_common_share(sizes, sparsity):
    """There is a t such that every count is t·n rounded (halves either way), capped at n − 1."""
    kept = masks_of(layered(sizes, 0), round(sparsity * removable(sizes)), "uniform")
    counts = [int((~mask).sum()) for mask in kept.values()]
    least = max(Fraction(2 * c - 1, 2 * n) for c, n in zip(counts, sizes, strict=True))
    most = min(
        (Fraction(2 * c + 1, 2 * n) for c, n in zip(counts, sizes, strict=True) if c < n - 1), default=2
    )
    assert least <= most


@pytest.mark.parametrize("sparsity", [0.5, 0.75, 0.9, 0.95, 0.98])
def test_uniform_gives_layers_of_usual_size_their_share(sparsity):
    sizes = [150, 2400, 48000, 10080, 840]
    kept = masks_of(layered(sizes, 0, levels=1000), round(sparsity * sum(sizes)), "uniform")
    for mask in kept.values():
        assert abs(int((~mask).sum()) - sparsity * mask.numel()) <= 1


def order_of(worths: list[Tensor], rule: str) -> list[tuple[int, int]]:
    return allocation.order({str(i): Layer(worth) for i, worth in enumerate(worths)}, rule)


def test_uniform_order_of_units_takes_equal_shares():
    order = order_of([torch.arange(4.0), torch.arange(8.0)], "uniform")
    assert [group for group, _ in order[:6]].count(0) == 2
    assert [unit for group, unit in order if group == 1] == list(range(8))


def test_global_order_of_units_goes_by_score_ties_by_group():
    order = order_of([torch.tensor([2.0, 1.0]), torch.tensor([1.0, 3.0])], "global")
    assert order == [(0, 1), (1, 0), (0, 0), (1, 1)]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_are_named(bad):
    with pytest.raises(PruningError, match=r"conv\.weight"):
        allocation.check_finite({"conv.weight": Layer(torch.tensor([1.0, bad]))})


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.9])  # beyond, torch empties layers of some
def test_global_magnitude_is_bit_equal_to_torch(case, generator, sparsity):
    pruned = prune(
        case.model, methods()["global-magnitude"].recipe, sparsity, example_input=case.x, generator=generator
    )
    reference = case.build()
    reference.load_state_dict(case.model.state_dict())
    names = prunable.layers(reference)
    layers = [(layer, "weight") for layer in names.values()]
    torch_prune.global_unstructured(layers, torch_prune.L1Unstructured, amount=sparsity)
    for name, layer in names.items():
        assert torch.equal(pruned.masks[f"{name}.weight"], layer.weight_mask.bool())
        assert torch.equal(pruned.model.get_submodule(name).weight, layer.weight)


def test_layer_magnitude_is_bit_equal_to_torch_where_shares_are_whole(generator):
    model = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 10))
    nn.init.normal_(model[0].weight, generator=generator)
    nn.init.normal_(model[2].weight, generator=generator)
    recipe = Recipe(allocation="uniform")
    kept = prune(model, recipe, 0.7, example_input=torch.ones(1, 10), generator=generator).masks
    for name in ("0", "2"):
        layer = model.get_submodule(name)
        torch_prune.l1_unstructured(layer, "weight", amount=0.7)
        assert torch.equal(kept[f"{name}.weight"], layer.weight_mask.bool())


def test_a_mask_that_does_not_fit_is_named():
    model = nn.Sequential(nn.Linear(2, 3))
    with pytest.raises(PruningError, match=r"1\.weight"):
        masks.apply(model, {"1.weight": torch.ones(3, 2, dtype=torch.bool)})
    with pytest.raises(PruningError, match=r"0\.weight is torch\.bool \(2, 3\)"):
        masks.apply(model, {"0.weight": torch.ones(2, 3, dtype=torch.bool)})


def test_erk_is_the_published_density():
    """Evci et al. 2020: ε·(n_in + n_out + w + h) / (n_in·n_out·w·h); what would exceed 1 is dense."""
    shapes = [(64, 3, 3, 3), (128, 64, 3, 3), (256, 128, 3, 3), (10, 256)]
    layers = {
        str(i): Layer(torch.arange(float(torch.Size(shape).numel())), dims=sum(shape))
        for i, shape in enumerate(shapes)
    }
    sizes = [len(layer.scores) for layer in layers.values()]
    for sparsity in (0.5, 0.9, 0.98):
        kept = [int(m.sum()) for m in allocation.masks(layers, round(sparsity * sum(sizes)), "erk").values()]
        dense: set[int] = set()
        while True:  # the reference algorithm: fill what would exceed 1, solve for the others again
            budget = (1 - sparsity) * sum(sizes) - sum(sizes[i] for i in dense)
            epsilon = budget / sum(sum(s) for i, s in enumerate(shapes) if i not in dense)
            over = {i for i, s in enumerate(shapes) if i not in dense and epsilon * sum(s) > sizes[i]}
            if not over:
                break
            dense |= over
        wanted = [n if i in dense else epsilon * sum(shapes[i]) for i, n in enumerate(sizes)]
        assert kept == pytest.approx(wanted, abs=1)
        assert any(n == k for n, k in zip(sizes, kept, strict=True)) == bool(dense)


def test_lamp_is_its_formula():
    """Lee et al. 2021, by hand and by the double sum."""
    generator = torch.Generator().manual_seed(3)
    layers = [Layer(torch.rand(n, generator=generator)) for n in (5, 9)]
    for layer, key in zip(layers, allocation.allocation("lamp").keys(layers), strict=True):
        squares = layer.scores.double() ** 2
        naive = torch.stack([s / squares[squares >= s].sum() for s in squares])
        torch.testing.assert_close(key, naive[layer.scores.argsort()], rtol=1e-12, atol=0)
        assert key.max() == 1
    (key,) = allocation.allocation("lamp").keys([Layer(torch.tensor([1.0, 2.0, 2.0]))])
    assert key.tolist() == [1 / 9, 1 / 2, 1.0]


def test_normalised_scores_do_not_know_the_scale_of_their_layer():
    """A layer of tiny scores would go first by one ranking; over their means both lose as many."""
    generator = torch.Generator().manual_seed(0)
    layers = {
        name: Layer(scale * torch.rand(400, generator=generator)) for name, scale in (("a", 1e-4), ("b", 1.0))
    }
    lost = [int((~mask).sum()) for mask in allocation.masks(layers, 400, "normalised").values()]
    assert lost == pytest.approx([200, 200], abs=20)
    assert [int((~mask).sum()) for mask in allocation.masks(layers, 399, "global").values()] == [399, 0]
    assert allocation.allocation("normalised").keys([Layer(torch.tensor([1.0, 3.0]))])[0].tolist() == [
        0.5,
        1.5,
    ]
    assert not allocation.allocation("normalised").keys([Layer(torch.zeros(3))])[0].any()


@pytest.mark.parametrize("rule", RULES)
def test_scores_of_sixteen_bits_rank_too(rule):
    layers = {"a": Layer(torch.rand(40).bfloat16()), "b": Layer(torch.rand(60).bfloat16())}
    assert dropped(allocation.masks(layers, 50, rule)) == 50


def test_row_compares_within_rows():
    scores = torch.tensor([9.0, 8.0, 7.0, 6.0, 1.0, 2.0, 3.0, 4.0])  # rows of four: one large, one small
    kept = allocation.masks({"a": Layer(scores, row=4)}, 4, "row")["a"]
    assert kept.tolist() == [True, True, False, False, False, False, True, True]


def test_layerwise_spends_on_the_least_sensitive_first():
    layers = {
        name: Layer(torch.arange(100.0), sensitivity=s) for name, s in (("a", 3.0), ("b", 1.0), ("c", 2.0))
    }
    gone = {
        zeros: [int((~m).sum()) for m in allocation.masks(layers, zeros, "layerwise").values()]
        for zeros in (50, 90, 100, 190, 270, 271, 279, 297)
    }
    assert gone == {
        50: [0, 50, 0], 90: [0, 90, 0], 100: [0, 90, 10], 190: [10, 90, 90], 270: [90, 90, 90],
        271: [90, 91, 90], 279: [90, 99, 90], 297: [99, 99, 99],
    }  # fmt: skip


def test_every_allocation_has_a_line_and_a_source():
    for name, rule in allocation.allocations().items():
        assert rule.name == name
        assert rule.summary
        assert rule.source


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.data())
def test_equals_go_in_equal_shares_and_nest(sizes, data):
    layers = {str(i): Layer(torch.ones(n)) for i, n in enumerate(sizes)}
    most = sum(sizes) - len(sizes)
    few, many = sorted(data.draw(st.tuples(st.integers(0, most), st.integers(0, most))))
    loose, tight = (allocation.masks(layers, zeros, "global") for zeros in (few, many))
    assert all((tight[name] <= loose[name]).all() for name in layers)
    for mask in tight.values():
        n = len(mask) - 1  # the last never goes
        # Each layer is half a unit off what is due at the turn reached; together they shift the turn.
        assert abs(int((~mask).sum()) - n * many / max(1, most)) <= (1 + n * len(sizes) / max(1, most)) / 2
    ranked = allocation.order(layers, "global")
    assert len(ranked) == sum(sizes)
    for group, n in enumerate(sizes):
        units = [unit for g, unit in ranked if g == group]
        assert units == list(range(n))
        first = [g for g, _ in ranked[: len(ranked) // 2]].count(group)
        assert abs(first - n / 2) <= 1
