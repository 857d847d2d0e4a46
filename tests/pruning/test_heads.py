"""Attention heads as units: removed is zeroed; the smaller attention is torch's where it has all heads."""

import itertools

import pytest
import torch
from pruning_networks import random_weights
from torch import nn

from pruning import coupling, heads, measure, prunable, removal, storage, tracing
from pruning.errors import PruningError
from pruning.prune import prune
from pruning.recipe import Recipe
from pruning.sample import Sample

WIDTH, HEADS, TOKENS = 12, 4, 5


class Net(nn.Module):
    def __init__(self, *, batch_first: bool = True, weights: bool = False, bias: bool = True, **more: bool):
        super().__init__()
        self.weights = weights
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=batch_first, bias=bias, **more)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x):
        return self.head(x + self.attention(x, x, value=x, need_weights=self.weights)[0]).flatten(1)


class Encoder(nn.Module):
    """As torch builds it, with its fused path where nothing is watched."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 16, batch_first=True)
        self.encoder, self.head = nn.TransformerEncoder(layer, 2), nn.Linear(WIDTH, 3)

    def forward(self, x):
        return self.head(self.encoder(x).mean(1))


def data() -> torch.Tensor:
    return torch.rand(3, TOKENS, WIDTH, generator=torch.Generator().manual_seed(1))


def run(model, recipe, sparsity, x):
    return prune(
        model, recipe, sparsity, example_input=x, generator=torch.Generator().manual_seed(0),
        sample=Sample(x, torch.arange(len(x))),
    )  # fmt: skip


@pytest.mark.parametrize(
    "kinds", list(itertools.product([True, False], repeat=3)), ids=lambda kinds: "-".join(map(str, kinds))
)
def test_removed_heads_are_zeroed_heads(kinds):
    first, weights, bias = kinds
    model, x = random_weights(Net(batch_first=first, weights=weights, bias=bias)), data()
    pruned = run(model, Recipe(granularity="unit"), 0.4, x)
    assert pruned.model.attention.num_heads == 2
    assert pruned.model.attention.in_proj_weight.shape == (3 * 2 * 3, WIDTH)
    assert pruned.model.attention.out_proj.weight.shape == (WIDTH, 2 * 3)
    assert pruned.model.state_dict().keys() == model.state_dict().keys()
    expected = removal.masked(model, pruned.history, x)(x)
    torch.testing.assert_close(pruned.model(x), expected, atol=1e-6, rtol=1e-5)
    assert (pruned.model(x) - model(x)).abs().max() > 1e-2  # and it is another function than before
    total = sum(prunable.counts(model).values())
    assert pruned.achieved == pytest.approx(2 * 4 * 3 * WIDTH / total)


def test_the_head_of_least_magnitude_goes_first():
    model, x = random_weights(Net()), data()
    with torch.no_grad():
        for part in range(3):
            model.attention.in_proj_weight[part * WIDTH + 3 : part * WIDTH + 6] *= 0.01  # head 1
    (step,) = run(model, Recipe(granularity="unit"), 0.2, x).history
    assert step.layer == "attention.in_proj"
    assert step.indices == tuple(part * WIDTH + i for part in range(3) for i in (3, 4, 5))


@pytest.mark.parametrize("masked", ["none", "bool", "float", "each head", "padding", "both"])
@pytest.mark.parametrize("average", [True, False])
def test_with_all_its_heads_the_smaller_attention_is_torchs(masked, average):
    own, torchs = (random_weights(Net().attention) for _ in range(2))
    heads.cut(own, torch.ones(3 * WIDTH, dtype=torch.bool))
    assert isinstance(own, heads.FewerHeads)
    x, generator = data(), torch.Generator().manual_seed(2)
    one = torch.rand(TOKENS, TOKENS, generator=generator)
    padding = torch.tensor([[False] * (TOKENS - i) + [True] * i for i in range(3)])
    given = {
        "none": {},
        "bool": {"attn_mask": torch.ones(TOKENS, TOKENS, dtype=torch.bool).triu(1)},
        "float": {"attn_mask": one},
        "each head": {"attn_mask": torch.rand(3 * HEADS, TOKENS, TOKENS, generator=generator)},
        "padding": {"key_padding_mask": padding},
        "both": {"attn_mask": one > 0.9, "key_padding_mask": padding},
    }[masked]
    for needed in (True, False):
        (found, shares), (expected, others) = (
            m(x, x, x, need_weights=needed, average_attn_weights=average, **given) for m in (own, torchs)
        )
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
        assert (shares is None) == (others is None)
        if shares is not None:
            torch.testing.assert_close(shares, others, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(own(x[0], x[0], x[0])[0], torchs(x[0], x[0], x[0])[0], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("criterion", ["taylor", "taylor_2019", "fisher", "snip", "synflow", "random"])
def test_torchs_encoder_loses_heads_by_every_criterion_that_sees_them(criterion):
    model, x = random_weights(Encoder()), data()
    pruned = run(model, Recipe(criterion=criterion, granularity="unit", allocation="uniform"), 0.4, x)
    left = sorted(layer.self_attn.num_heads for layer in pruned.model.encoder.layers)
    assert left == [2, 3]  # 0.4 of twice four heads is 3.2: three go, from both layers
    expected = removal.masked(model, pruned.history, x)(x)
    torch.testing.assert_close(pruned.model(x), expected, atol=1e-5, rtol=1e-4)
    pruned.model.train()(x).sum().backward()
    assert pruned.model.encoder.layers[0].self_attn.in_proj_weight.grad is not None


@pytest.mark.parametrize("criterion", ["wanda", "apoz", "taylor_2017"])
def test_criteria_that_look_at_inputs_say_that_they_do_not_see_them(criterion):
    with pytest.raises(PruningError, match=r"encoder\.layers\.0\.self_attn\..*exclude = "):
        run(random_weights(Encoder()), Recipe(criterion=criterion, granularity="unit"), 0.4, data())


def test_layerwise_sensitivity_judges_heads():
    model, x = random_weights(Encoder()), data()
    pruned = run(model, Recipe(granularity="unit", allocation="layerwise"), 0.3, x)
    assert pruned.achieved == pytest.approx(0.3, abs=0.03)


def test_a_model_of_fewer_heads_is_stored_and_built_again(tmp_path):
    model, x = random_weights(Encoder()), data()
    pruned = run(model, Recipe(granularity="unit", allocation="uniform"), 0.4, x)
    further = run(pruned.model, Recipe(granularity="unit", allocation="uniform"), 0.2, x)  # of fewer, fewer
    history = (*pruned.history, *further.history)
    storage.save(further.model, tmp_path / "model.safetensors", history)
    again = storage.load(tmp_path / "model.safetensors", lambda: random_weights(Encoder()), x)
    torch.testing.assert_close(again.eval()(x), further.model(x), atol=0, rtol=0)


@pytest.mark.parametrize("more", [{"add_bias_kv": True}, {"add_zero_attn": True}])
def test_attention_with_keys_of_its_own_keeps_its_heads(more):
    model, x = random_weights(Net(**more)), data()
    assert heads.of(model.attention) == 0
    with pytest.raises(PruningError, match="no filter or neuron that can be removed"):
        coupling.find(model, x)


def test_excluded_attention_keeps_its_heads():
    model, x = random_weights(Encoder()), data()
    recipe = Recipe(granularity="unit", exclude=("*.in_proj",))
    pruned = run(model, recipe, 0.2, x)
    assert all(layer.self_attn.num_heads == HEADS for layer in pruned.model.encoder.layers)


def test_multiply_adds_of_attention_count_where_they_are_the_target():
    model, x = random_weights(Encoder()), data()
    uses = tracing.uses(model, x)
    assert uses["encoder.layers.0.self_attn.in_proj"] == TOKENS
    assert uses["encoder.layers.0.self_attn.out_proj"] == TOKENS


@pytest.mark.parametrize("weights", [True, False])
def test_multiply_adds_of_attention_are_counted_alike_fused_or_not(weights):
    model, x = random_weights(Net(weights=weights)).requires_grad_(False), data()
    outside = TOKENS * WIDTH * 3
    dense, pruned = (
        m.requires_grad_(False) for m in (model, run(model, Recipe(granularity="unit"), 0.4, x).model)
    )
    whole = (
        4 * TOKENS * WIDTH**2 + 2 * TOKENS**2 * WIDTH
    )  # four projections; queries by keys, shares by values
    fast = torch.backends.mha.get_fastpath_enabled()
    assert measure.size(dense, x).macs == outside + whole
    assert measure.size(pruned, x).macs == outside + whole // 2
    assert torch.backends.mha.get_fastpath_enabled() == fast
