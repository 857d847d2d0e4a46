from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import prune as torch_prune

from pruning import allocation, masks, prunable
from pruning.errors import PruningError
from pruning.methods import methods
from pruning.prune import prune

RULES = ("global", "uniform")
sizes = st.lists(st.integers(1, 40), min_size=1, max_size=6)
shares = st.floats(0, 1, exclude_max=True)


def layered(sizes: list[int], seed: int, levels: int = 5) -> dict[str, Tensor]:
    """Scores with many ties: integers below ``levels``."""
    generator = torch.Generator().manual_seed(seed)
    return {f"l{i}": torch.randint(levels, (n,), generator=generator).float() for i, n in enumerate(sizes)}


def dropped(kept: dict[str, Tensor]) -> int:
    return sum(int((~mask).sum()) for mask in kept.values())


@given(sizes, shares, st.integers(0, 99), st.sampled_from(RULES))
def test_count_is_exact_with_ties_and_no_layer_is_emptied(sizes, sparsity, seed, rule):
    scores = layered(sizes, seed)
    zeros = round(sparsity * sum(sizes))
    if zeros > sum(sizes) - len(sizes):
        with pytest.raises(PruningError, match=f"at most {sum(sizes) - len(sizes)} can go"):
            allocation.masks(scores, sparsity, rule)
        return
    kept = allocation.masks(scores, sparsity, rule)
    assert dropped(kept) == zeros
    for name, mask in kept.items():
        assert mask.any()
        if not mask.all():  # within a layer the lowest go, ties by index
            gone = [(float(s), i) for i, s in enumerate(scores[name]) if not mask[i]]
            stay = [(float(s), i) for i, s in enumerate(scores[name]) if mask[i]]
            assert max(gone) < min(stay)


@given(sizes, shares, shares, st.integers(0, 99), st.sampled_from(RULES))
def test_masks_nest_as_sparsity_grows(sizes, a, b, seed, rule):
    scores = layered(sizes, seed)
    top = (sum(sizes) - len(sizes)) / sum(sizes)
    low, high = (allocation.masks(scores, s * top, rule) for s in sorted((a, b)))
    assert all((high[name] <= low[name]).all() for name in scores)


@given(sizes, st.integers(0, 99), shares)
def test_global_is_one_ranking_where_no_layer_is_at_stake(sizes, seed, share):
    scores = layered(sizes, seed, levels=1000)
    flat = torch.cat(list(scores.values()))
    zeros = round(share * len(flat))
    naive = torch.ones(len(flat), dtype=torch.bool)
    naive[torch.sort(flat, stable=True).indices[:zeros]] = False
    if all(part.any() for part in naive.split(sizes)):
        kept = allocation.masks(scores, share, "global")
        assert torch.equal(torch.cat(list(kept.values())), naive)


def test_global_spares_a_layers_last_weight_and_takes_the_next():
    scores = {"small": torch.tensor([1.0, 2.0]), "large": torch.tensor([3.0, 4.0, 5.0, 6.0])}
    kept = allocation.masks(scores, 0.5, "global")
    assert kept["small"].tolist() == [False, True]
    assert kept["large"].tolist() == [False, False, True, True]


@given(sizes, shares)
def test_uniform_counts_round_one_common_share(sizes, sparsity):
    """There is a t such that every count is t·n rounded (halves either way), capped at n − 1."""
    zeros = round(sparsity * sum(sizes))
    if zeros > sum(sizes) - len(sizes):
        return
    kept = allocation.masks(layered(sizes, 0), sparsity, "uniform")
    counts = [int((~mask).sum()) for mask in kept.values()]
    least = max(Fraction(2 * c - 1, 2 * n) for c, n in zip(counts, sizes, strict=True))
    most = min(
        (Fraction(2 * c + 1, 2 * n) for c, n in zip(counts, sizes, strict=True) if c < n - 1), default=2
    )
    assert least <= most


@pytest.mark.parametrize("sparsity", [0.5, 0.75, 0.9, 0.95, 0.98])
def test_uniform_gives_layers_of_usual_size_their_share(sparsity):
    sizes = [150, 2400, 48000, 10080, 840]
    kept = allocation.masks(layered(sizes, 0, levels=1000), sparsity, "uniform")
    for mask in kept.values():
        assert abs(int((~mask).sum()) - sparsity * mask.numel()) <= 1


def test_uniform_order_of_units_takes_equal_shares():
    order = allocation.order([torch.arange(4.0), torch.arange(8.0)], "uniform")
    assert [group for group, _ in order[:6]].count(0) == 2
    assert [unit for group, unit in order if group == 1] == list(range(8))


def test_global_order_of_units_goes_by_score_ties_by_group():
    order = allocation.order([torch.tensor([2.0, 1.0]), torch.tensor([1.0, 3.0])], "global")
    assert order == [(0, 1), (1, 0), (0, 0), (1, 1)]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_are_named(bad):
    with pytest.raises(PruningError, match=r"conv\.weight"):
        allocation.masks({"conv.weight": torch.tensor([1.0, bad])}, 0.5, "global")


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
    kept = allocation.masks({n: w.abs() for n, w in prunable.weights(model).items()}, 0.7, "uniform")
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
