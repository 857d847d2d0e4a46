import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pruning_networks import one_shot, random_weights
from torch import Tensor, nn

from pruning import coupling, measure, prunable, removal
from pruning.errors import PruningError
from pruning.methods import methods
from pruning.prune import prune
from pruning.recipe import Recipe
from pruning.removal import Removal
from pruning.sample import Sample

FILTER_L2 = methods()["filter-l2"].recipe
UNITS = [
    *(recipe for recipe in one_shot() if recipe.granularity == "unit"),
    Recipe(granularity="unit", allocation="global"),
]


def labelled(x: Tensor) -> Sample:
    return Sample(x, torch.arange(len(x)) % 4)


def total(model: nn.Module) -> int:
    return sum(w.numel() for w in prunable.weights(model).values())


def one_unit(case) -> int:
    """The most prunable weights that any one unit of the dense model owns: an upper bound of a step."""
    shapes = {name: layer.weight.shape for name, layer in prunable.layers(case.model).items()}
    most = 0
    for group in coupling.find(case.model, case.x):
        for unit in range(group.size):
            most = max(
                most,
                sum(
                    int((m.units == unit).sum())
                    * (shapes[m.layer].numel() // shapes[m.layer][0 if m.direction == "out" else 1])
                    for m in group.members
                ),
            )
    return most


@pytest.mark.parametrize("recipe", UNITS, ids=lambda r: r.name)
@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.75])
def test_masked_equals_removed_and_the_request_is_met(case, generator, recipe, sparsity):
    dense = case.model
    if recipe.criterion == "apoz" and case.never_zero:
        with pytest.raises(PruningError, match="no unit of 0 or any other layer is ever exactly zero"):
            prune(dense, recipe, sparsity, example_input=case.x, generator=generator, sample=case.sample)
        return
    pruned = prune(dense, recipe, sparsity, example_input=case.x, generator=generator, sample=case.sample)
    masked = removal.masked(dense, pruned.history, case.x)
    torch.testing.assert_close(pruned.model(case.x), masked(case.x), atol=1e-5, rtol=1e-5)
    if recipe.criterion in ("magnitude", "random"):  # the others know what hardly matters
        assert not torch.allclose(pruned.model(case.x), dense(case.x), atol=1e-2)

    left = total(pruned.model)
    assert pruned.achieved == pytest.approx(1 - left / total(dense), abs=1e-12)
    if recipe.like is None:
        assert abs(pruned.achieved - sparsity) * total(dense) <= one_unit(case) / 2
    else:
        like = prune(
            dense, recipe.like, sparsity, example_input=case.x, generator=generator, sample=case.sample
        )
        assert [(s.layer, len(s.indices)) for s in pruned.history] == [
            (s.layer, len(s.indices)) for s in like.history
        ]
    zeroed = sum(int(w.count_nonzero()) for w in prunable.weights(masked).values())
    assert zeroed == left  # the masked twin has as many weights as the smaller model
    assert pruned.masks == {}
    assert all(0 not in layer.weight.shape for layer in prunable.layers(pruned.model).values())
    *_, head = prunable.layers(pruned.model).values()
    assert head.weight.shape[0] == 10


LEFT_AT_LEAST = 9 + 9 + 4 + 4  # of the network below: one filter, one filter, one neuron, four logits
LARGEST_UNIT = 5 * 9 + 4 * 9  # a filter of the second convolution, with the columns that read it
LARGEST_LAST_UNIT = 9 + 9  # a filter of the first convolution, where all else is down to one unit


def network(seed: int) -> tuple[nn.Module, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 5, 3), nn.BatchNorm2d(5), nn.Softplus(), nn.Conv2d(5, 7, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(28, 9), nn.Sigmoid(), nn.Linear(9, 4),
    )  # fmt: skip
    for parameter in model.parameters():
        nn.init.normal_(parameter, generator=generator)
    return model, torch.rand(2, 1, 6, 6, generator=generator)


@given(st.floats(0, 1 - LEFT_AT_LEAST / 648), st.sampled_from(UNITS), st.integers(0, 50))
@settings(max_examples=40, deadline=None)
def test_any_reachable_sparsity_is_met_within_half_a_unit(sparsity, recipe, seed):
    model, x = network(seed)
    assert total(model) == 648
    pruned = prune(
        model,
        recipe,
        sparsity,
        example_input=x,
        generator=torch.Generator().manual_seed(seed),
        sample=labelled(x),
    )
    assert abs(pruned.achieved - sparsity) * 648 <= LARGEST_UNIT / 2
    assert pruned.model(x).shape == (2, 4)


@given(
    st.floats(1 - (LEFT_AT_LEAST - LARGEST_LAST_UNIT / 2) / 648, 1, exclude_min=True, exclude_max=True),
    st.sampled_from(UNITS),
)
@settings(max_examples=20, deadline=None)
def test_what_is_beyond_reach_is_refused_with_the_most_there_is(sparsity, recipe):
    model, x = network(0)
    with pytest.raises(PruningError, match="26 of 648 weights remain, sparsity 0.9598$"):
        prune(
            model,
            recipe,
            sparsity,
            example_input=x,
            generator=torch.Generator().manual_seed(0),
            sample=labelled(x),
        )


@pytest.mark.parametrize("name", ["filter-l1", "filter-l2"])
def test_the_filters_of_smallest_norm_go(name, generator):
    model = nn.Sequential(nn.Conv2d(2, 4, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(4, 3))
    filters = torch.tensor([[3.0, 0.0], [2.0, 2.0], [0.1, -0.1], [-9.0, 0.0]])  # L1 2<0<1<3, L2 2<1<0<3
    with torch.no_grad():
        model[0].weight.copy_(filters[:, :, None, None])
    x = torch.rand(2, 2, 1, 1)
    gone = prune(model, methods()[name].recipe, 0.5, example_input=x, generator=generator).history
    assert [step.indices for step in gone] == [(0, 2) if name == "filter-l1" else (1, 2)]


def test_groups_follow_residual_streams_and_spare_the_logits(residual):
    groups = coupling.find(residual.model, residual.x)
    assert {frozenset((m.layer, m.direction) for m in group.members) for group in groups} == {
        frozenset(stream)
        for stream in (
            {("stem.0", "out"), ("same.0", "in"), ("same.3", "out"), ("shortcut.0", "in"), ("wider.0", "in")},
            {("same.0", "out"), ("same.3", "in")},
            {("wider.0", "out"), ("wider.3", "in")},
            {("wider.3", "out"), ("shortcut.0", "out"), ("head", "in")},
        )
    }


def test_replay_builds_the_same_model(case, generator):
    pruned = prune(case.model, FILTER_L2, 0.6, example_input=case.x, generator=generator)
    again = removal.replay(case.build(), pruned.history, case.x[:1])
    again.load_state_dict(pruned.model.state_dict())
    assert torch.equal(again.eval()(case.x), pruned.model(case.x))
    weights = removal.replay(case.model, pruned.history, case.x).state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in pruned.model.state_dict().items())


@pytest.mark.parametrize(
    ("layer", "indices", "message"),
    [
        ("nowhere", (0,), "names nowhere"),
        ("1", (0,), "names 1, which is no prunable layer"),
        ("0", (3, 99), "channels 3 to 99 .* which has 16"),
        ("0", (3, 3), "belongs to another architecture"),
        ("0", tuple(range(16)), "would empty a layer"),
    ],
)
def test_a_history_that_does_not_fit_is_refused(cnn, layer, indices, message):
    with pytest.raises(PruningError, match=message):
        removal.replay(cnn.model, [Removal(layer=layer, direction="out", indices=indices)], cnn.x)


class Shaped(nn.Module):
    """Hard-codes the width of its features."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3)
        self.head = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.conv(x)).view(-1, 128))


class Shuffled(nn.Module):
    """Shifts its channels by one: without the last, which is the first to go, others come to its place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3)
        self.head = nn.Conv2d(8, 10, 4)
        nn.init.zeros_(self.conv.weight[-1])

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.conv(x)).roll(1, 1)).flatten(1)


class Grouped(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(1, 8, 3), nn.GroupNorm(2, 8), nn.Flatten(), nn.Linear(128, 10))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Shaped(), "conv cannot lose channels"),
        (Shuffled(), "removing units of conv changes what the model computes"),
        (Grouped(), "no filter or neuron that can be removed"),
        (nn.Sequential(nn.Flatten(), nn.Linear(36, 10)), "no filter or neuron that can be removed"),
        (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(64, 2)),
            "breaks in or right after layer 0",
        ),
    ],
    ids=["hard-coded-shape", "channel-shuffle", "group-norm", "output-layer-only", "wrong-input"],
)
def test_models_that_cannot_lose_units_are_refused(model, message, generator):
    x = torch.rand(3, 1, 6, 6, generator=generator)
    with pytest.raises(PruningError, match=message):
        prune(model, FILTER_L2, 0.5, example_input=x, generator=generator)


def reshaped() -> nn.Sequential:
    """Sixteen neurons become four maps, a number written down; what follows could lose filters."""
    return nn.Sequential(
        nn.Linear(6, 16), nn.ReLU(), nn.Unflatten(1, (4, 2, 2)), nn.Conv2d(4, 5, 1), nn.Flatten(),
        nn.Linear(20, 3),
    )  # fmt: skip


def test_what_cannot_lose_units_is_left_whole_and_told_with_its_share(generator):
    model, x = random_weights(reshaped()), torch.rand(2, 6, generator=generator)
    pruned = prune(model, FILTER_L2, 0.3, example_input=x, generator=generator)
    assert {step.layer for step in pruned.history} == {"3"}
    assert pruned.model[0].out_features == 16
    share = 96 / (96 + 20 + 60)
    assert pruned.note == (
        f"left whole: 0 ({share:.1%} of the prunable weights), whose units cannot be removed exactly"
    )
    masked = removal.masked(model, pruned.history, x)
    torch.testing.assert_close(pruned.model(x), masked(x), atol=1e-5, rtol=1e-5)
    assert prune(model, Recipe(), 0.3, example_input=x, generator=generator).note == ""


class Auxiliary(nn.Module):
    """A head beside the trunk that runs while training only, and holds most of the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.head = nn.Linear(6, 8), nn.Linear(8, 3)
        self.side = nn.Sequential(nn.Linear(8, 40), nn.ReLU(), nn.Linear(40, 3))

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = torch.relu(self.trunk(x))
        return (self.head(x), self.side(x)) if self.training else self.head(x)


@pytest.mark.parametrize(
    "recipe", [Recipe(), Recipe(granularity="unit"), Recipe(criterion="synflow")], ids=str
)
def test_layers_that_never_run_are_neither_pruned_nor_counted(recipe, generator):
    model, x = random_weights(Auxiliary()), torch.rand(2, 6, generator=generator)
    flags = {name: p.requires_grad for name, p in model.named_parameters()}
    pruned = prune(model, recipe, 0.5, example_input=x, generator=generator)
    assert pruned.achieved == pytest.approx(0.5, abs=0.06)  # of 72 weights, not of 512
    assert sum(int(w.count_nonzero()) for w in prunable.weights(pruned.model).values()) <= 40
    assert (
        all(
            torch.equal(a, b)
            for a, b in zip(
                model.side.state_dict().values(), pruned.model.side.state_dict().values(), strict=True
            )
        )
        or recipe.granularity == "unit"
    )
    assert {name: p.requires_grad for name, p in model.named_parameters()} == flags
    assert measure.size(model, x).prunable == 72
    assert prunable.told(model)[0].startswith("never run, not counted: side.0, side.2 (")
    assert pruned.model.train()(x)[1].shape == (2, 3)  # what trains it still fits


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attention(x, x, x, need_weights=False)[0].mean(1))


def test_what_makes_queries_keys_and_values_is_pruned_and_counted(generator):
    model, x = random_weights(Attention()), torch.rand(2, 5, 8, generator=generator)
    pruned = prune(model, Recipe(), 0.8, example_input=x, generator=generator)
    total = 3 * 64 + 64 + 24
    assert measure.size(pruned.model, x).prunable == total
    assert list(pruned.masks) == ["attention.in_proj_weight", "attention.out_proj.weight", "head.weight"]
    assert sum(int((~mask).sum()) for mask in pruned.masks.values()) == round(0.8 * total)
    assert (pruned.model.attention.in_proj_weight == 0).any()
    shares = measure.layer_sparsity(pruned.model, prunable.counts(model))
    assert set(shares) == {"attention.in_proj", "attention.out_proj", "head"}
    spared = prune(model, Recipe(exclude=("attention.*",)), 0.05, example_input=x, generator=generator)
    assert list(spared.masks) == ["head.weight"]


class Conv1D(nn.Module):
    """As Hugging Face's, whose weight stands the other way."""

    def __init__(self, nf: int, nx: int) -> None:
        super().__init__()
        self.nf, self.nx, self.weight, self.bias = (
            nf,
            nx,
            nn.Parameter(torch.ones(nx, nf)),
            nn.Parameter(torch.zeros(nf)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.weight)


def test_hugging_faces_conv1d_counts_and_a_weight_normed_layer_is_told(generator):
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(6, 6))
    model = random_weights(nn.Sequential(Conv1D(6, 4), nn.ReLU(), normed, nn.Linear(6, 3)))
    x = torch.rand(2, 4, generator=generator)
    pruned = prune(model, Recipe(), 0.5, example_input=x, generator=generator)
    assert {name: mask.numel() for name, mask in pruned.masks.items()} == {"0.weight": 24, "3.weight": 18}
    assert prunable.told(model) == [
        "not prunable: 2.parametrizations.weight.original0, 2.parametrizations.weight.original1 "
        f"({42 / (24 + 6 + 36 + 6 + 6 + 18 + 3):.1%} of all parameters)"
    ]
