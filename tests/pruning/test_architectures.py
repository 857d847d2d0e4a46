"""What must hold for every method, on random architectures of every kind."""

import copy
import re

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pruning_networks import Network, largest_unit, networks, one_shot
from torch import nn

from pruning import coupling, prunable, removal
from pruning.errors import PruningError
from pruning.prune import Pruned, prune
from pruning.recipe import Recipe
from pruning.removal import Removal

ONE_SHOT = one_shot()
WEIGHTS = [recipe for recipe in ONE_SHOT if recipe.granularity == "weight"]
UNITS = [
    *(recipe for recipe in ONE_SHOT if recipe.granularity == "unit"),
    *(Recipe(criterion=c, granularity="unit", allocation="lamp") for c in ("snip", "wanda", "synflow")),
    Recipe(granularity="unit", allocation="erk"),
]
few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def run(network: Network, recipe: Recipe, sparsity: float | None) -> Pruned:
    return prune(
        network.model, recipe, sparsity, example_input=network.x, sample=network.sample,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip


def weights(model: nn.Module) -> list[nn.Parameter]:
    return list(prunable.weights(model).values())


@pytest.mark.parametrize("recipe", WEIGHTS, ids=lambda r: r.name)
@given(networks(), st.lists(st.floats(0, 1, exclude_max=True), min_size=2, max_size=3))
@few
def test_zeros_are_exact_masks_nest_and_no_layer_is_emptied(recipe, network, sparsities):
    count = sum(w.numel() for w in weights(network.model))
    before = None
    for sparsity in sorted(sparsities):
        wanted = round(sparsity * count)
        if wanted > count - len(weights(network.model)):
            with pytest.raises(PruningError, match="keeps at least one"):
                run(network, recipe, sparsity)
            continue
        pruned = run(network, recipe, sparsity)
        assert sum(int((w == 0).sum()) for w in weights(pruned.model)) == wanted
        assert all(w.any() for w in weights(pruned.model))
        if before is not None and recipe.like is None:
            assert all((mask <= before[name]).all() for name, mask in pruned.masks.items())
        before = pruned.masks if recipe.like is None else None
        if network.kind == "tied":
            assert pruned.model.body[0].weight is pruned.model.body[2].weight


@pytest.mark.parametrize("recipe", UNITS, ids=lambda r: r.name)
@given(networks("mlp", "cnn", "depthwise", "residual", "layer-norm", "transformer"), st.floats(0, 0.9))
@few
def test_units_meet_the_request_or_say_what_is_reachable(recipe, network, sparsity):
    dense = network.model
    total = sum(w.numel() for w in weights(dense))
    try:
        pruned = run(network, recipe, sparsity)
    except PruningError as error:
        assert re.search("beyond reach .* weights remain, sparsity|is ever exactly zero", str(error))  # noqa: PT017
        return
    left = sum(w.numel() for w in weights(pruned.model))
    assert pruned.achieved == pytest.approx(1 - left / total, abs=1e-12)
    assert abs(pruned.achieved - sparsity) * total <= largest_unit(network)
    assert pruned.model.head.out_features == dense.head.out_features
    assert all(0 not in w.shape for w in weights(pruned.model))
    masked = removal.masked(dense, pruned.history, network.x)
    torch.testing.assert_close(pruned.model(network.x), masked(network.x), atol=1e-5, rtol=1e-5)


@given(networks("tied"))
@few
def test_units_of_tied_layers_are_refused_by_name(network):
    with pytest.raises(PruningError, match=r"body\.0\.weight and body\.2\.weight are one tied parameter"):
        run(network, Recipe(granularity="unit"), 0.3)


def test_behind_a_layer_norm_removed_differs_from_masked():
    """A zero still enters the norm's mean and variance; a neuron that is gone does not. So they stay."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 3))
    for parameter in model.parameters():
        nn.init.normal_(parameter, generator=generator)
    x = torch.rand(5, 4, generator=generator)
    first, norm, last = copy.deepcopy(model)
    with torch.no_grad():
        first.weight[0], first.bias[0], last.weight[:, 0] = 0, 0, 0
        y = first(x)
        masked = last(norm(y))
        mean, spread = y[:, 1:].mean(1, keepdim=True), y[:, 1:].var(1, keepdim=True, unbiased=False)
        normed = (y[:, 1:] - mean) / (spread + norm.eps).sqrt() * norm.weight[1:] + norm.bias[1:]
        removed = normed @ last.weight[:, 1:].T + last.bias
    assert float((removed - masked).abs().max()) > 0.1
    with pytest.raises(PruningError, match="no filter or neuron that can be removed"):
        coupling.find(model, x)
    with pytest.raises(PruningError, match="removes channels of 0, which cannot lose them"):
        removal.replay(model, [Removal(layer="0", direction="out", indices=(0,))], x)


@given(networks("layer-norm"))
@few
def test_units_behind_a_layer_norm_stay(network):
    groups = coupling.find(copy.deepcopy(network.model), network.x)
    last = max(int(name.split(".")[1]) for name in prunable.layers(network.model) if name != "head")
    assert [group.root for group in groups] == [f"body.{last}"]


@given(networks("transformer"))
@few
def test_of_a_transformer_block_the_hidden_neurons_go(network):
    groups = coupling.find(copy.deepcopy(network.model), network.x)
    assert [group.root for group in groups] == [f"body.{i}.mlp.0" for i in range(len(network.model.body))]
