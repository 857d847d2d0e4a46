"""What must hold for every method, on random architectures of every kind."""

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pruning import prunable, removal, units
from pruning.errors import PruningError
from pruning.methods import methods
from pruning.prune import Pruned, prune
from pruning.recipe import Recipe
from pruning.removal import Removal
from pruning.sample import Sample

CLASSES = 3


@dataclass(frozen=True)
class Network:
    kind: str
    model: nn.Module
    x: Tensor

    @property
    def sample(self) -> Sample:
        return Sample(self.x, torch.arange(len(self.x)) % CLASSES)


class Net(nn.Module):
    """A body and a head, a linear layer onto the classes."""

    def __init__(self, body: nn.Module, width: int) -> None:
        super().__init__()
        self.body, self.head = body, nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).flatten(1))


class Residual(nn.Module):
    """x + f(x), f of the same width."""

    def __init__(self, width: int, inner: int, norm: bool) -> None:
        super().__init__()
        norms: list[nn.Module] = [nn.BatchNorm2d(inner)] if norm else []
        self.branch = nn.Sequential(
            nn.Conv2d(width, inner, 3, padding=1), *norms, nn.ReLU(), nn.Conv2d(inner, width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.branch(x))


class Block(nn.Module):
    """A transformer block, (N, tokens, width) → the same."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        weights = torch.softmax(self.q(y) @ self.k(y).transpose(1, 2) / y.shape[2] ** 0.5, dim=2)
        x = x + self.out(weights @ self.v(y))
        return x + self.mlp(self.norm2(x))


def _mlp(widths: list[int], norm: bool) -> tuple[nn.Module, list[int], int]:
    parts: list[nn.Module] = []
    for into, out in pairwise(widths):
        parts += [nn.Linear(into, out), *([nn.BatchNorm1d(out)] if norm else []), nn.ReLU()]
    return nn.Sequential(*parts), [widths[0]], widths[-1]


def _layer_norm(widths: list[int], norm: bool) -> tuple[nn.Module, list[int], int]:
    """The last hidden layer has no norm behind it: its neurons can go."""
    parts: list[nn.Module] = []
    for into, out in pairwise(widths):
        parts += [nn.Linear(into, out), nn.LayerNorm(out), nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(widths[-1], 6), nn.ReLU()), [widths[0]], 6


def _cnn(widths: list[int], norm: bool) -> tuple[nn.Module, list[int], int]:
    parts: list[nn.Module] = []
    for into, out in pairwise(widths):
        parts += [nn.Conv2d(into, out, 3, padding=1), *([nn.BatchNorm2d(out)] if norm else []), nn.ReLU()]
    return nn.Sequential(*parts, nn.MaxPool2d(2)), [widths[0], 4, 4], widths[-1] * 4


def _depthwise(widths: list[int], norm: bool) -> tuple[nn.Module, list[int], int]:
    parts: list[nn.Module] = []
    for into, out in pairwise(widths):
        parts += [nn.Conv2d(into, out, 1), *([nn.BatchNorm2d(out)] if norm else []), nn.ReLU()]
        parts += [nn.Conv2d(out, out, 3, padding=1, groups=out), nn.ReLU()]
    return nn.Sequential(*parts), [widths[0], 4, 4], widths[-1] * 16


def _residual(widths: list[int], norm: bool) -> tuple[nn.Module, list[int], int]:
    width = widths[0]
    blocks = [Residual(width, inner, norm) for inner in widths[1:]]
    return nn.Sequential(nn.Conv2d(2, width, 3, padding=1), nn.ReLU(), *blocks), [2, 4, 4], width * 16


def _transformer(widths: list[int], norm: bool) -> tuple[nn.Module, list[int], int]:
    width = widths[0]
    return nn.Sequential(*(Block(width, hidden) for hidden in widths[1:])), [3, width], 3 * width


def _tied(widths: list[int], norm: bool) -> tuple[nn.Module, list[int], int]:
    width = widths[0]
    first, second = nn.Linear(width, width), nn.Linear(width, width)
    second.weight = first.weight
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Linear(width, 5), nn.ReLU()), [width], 5


KINDS: dict[str, Callable[[list[int], bool], tuple[nn.Module, list[int], int]]] = {
    "mlp": _mlp,
    "cnn": _cnn,
    "depthwise": _depthwise,
    "residual": _residual,
    "layer-norm": _layer_norm,
    "transformer": _transformer,
    "tied": _tied,
}


@st.composite
def networks(draw: st.DrawFn, *kinds: str) -> Network:
    """One of the kinds (default: any), of random widths, with batch norm or without where it may have it."""
    kind = draw(st.sampled_from(kinds or tuple(KINDS)))
    widths = draw(st.lists(st.integers(3, 9), min_size=2, max_size=4))
    seed = draw(st.integers(0, 1000))
    body, shape, width = KINDS[kind](widths, draw(st.booleans()))
    model = Net(body, width)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.dim() > 1:
                tensor.copy_(torch.randn(tensor.shape, generator=generator) / tensor[0].numel() ** 0.5)
            elif name.endswith("running_var"):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            elif tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3 + 0.2)
    return Network(kind, model.eval(), torch.rand(6, *shape, generator=generator))


ONE_SHOT = {n: m.recipe for n, m in methods().items() if m.recipe.sweeps}
WEIGHTS = [recipe for recipe in ONE_SHOT.values() if recipe.granularity == "weight"]
UNITS = [
    *(recipe for recipe in ONE_SHOT.values() if recipe.granularity == "unit"),
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
        assert re.search("beyond reach .* weights remain, sparsity", str(error))  # noqa: PT017
        return
    left = sum(w.numel() for w in weights(pruned.model))
    assert pruned.achieved == pytest.approx(1 - left / total, abs=1e-12)
    assert abs(pruned.achieved - sparsity) * total <= largest_unit(network)
    assert pruned.model.head.out_features == dense.head.out_features
    assert all(0 not in w.shape for w in weights(pruned.model))
    masked = removal.masked(dense, pruned.history, network.x)
    torch.testing.assert_close(pruned.model(network.x), masked(network.x), atol=1e-5, rtol=1e-5)


def largest_unit(network: Network) -> int:
    """The most weights that one unit of the dense model owns."""
    shapes = {name: layer.weight.shape for name, layer in prunable.layers(network.model).items()}
    return max(
        sum(
            int((m.units == unit).sum())
            * (shapes[m.layer].numel() // shapes[m.layer][0 if m.direction == "out" else 1])
            for m in group.members
        )
        for group in units.find(copy.deepcopy(network.model), network.x)
        for unit in range(group.size)
    )


@given(networks("tied"))
@few
def test_units_of_tied_layers_are_refused_by_name(network):
    with pytest.raises(PruningError, match=r"body\.0\.weight and body\.2\.weight are one tied parameter"):
        run(network, Recipe(granularity="unit"), 0.3)


def test_behind_a_layer_norm_removed_differs_from_masked():
    """A zero still enters the norm's mean and variance; a neuron that is gone does not."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 3))
    for parameter in model.parameters():
        nn.init.normal_(parameter, generator=generator)
    x = torch.rand(5, 4, generator=generator)
    history = [Removal(layer="0", direction="out", indices=(0,))]
    removed, masked = (make(model, history, x)(x).detach() for make in (removal.replay, removal.masked))
    assert float((removed - masked).abs().max()) > 0.1
    # so such units stay: there are no others here, and pruning says so
    with pytest.raises(PruningError, match="no filter or neuron that can be removed"):
        units.find(model, x)


@given(networks("layer-norm"))
@few
def test_units_behind_a_layer_norm_stay(network):
    groups = units.find(copy.deepcopy(network.model), network.x)
    last = max(int(name.split(".")[1]) for name in prunable.layers(network.model) if name != "head")
    assert [group.root for group in groups] == [f"body.{last}"]


@given(networks("transformer"))
@few
def test_of_a_transformer_block_the_hidden_neurons_go(network):
    groups = units.find(copy.deepcopy(network.model), network.x)
    assert [group.root for group in groups] == [f"body.{i}.mlp.0" for i in range(len(network.model.body))]
