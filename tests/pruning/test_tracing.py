"""Which channels hang together: beside torch-pruning where that is right, and where it is not, by hand."""

import pytest
import torch
import torch_pruning
from pruning_networks import random_weights
from torch import Tensor, nn
from torch.nn import functional as F

from audit.subject import vision
from pruning import coupling, prunable, removal, tracing, units
from pruning.errors import PruningError
from pruning.prune import prune
from pruning.recipe import Recipe


@pytest.mark.parametrize("name", ["resnet18", "vgg11_bn", "mobilenet_v2", "densenet121"])
def test_what_goes_with_a_channel_is_what_torch_pruning_finds(name):
    """Of every layer its first, second and last channel: the same rows and columns of the same layers."""
    torch.manual_seed(0)
    model, x = vision.model(name, 10)().eval(), torch.rand(1, 3, 32, 32)
    layers = prunable.layers(model)
    known = tracing.channels(model, x)
    graph = torch_pruning.DependencyGraph().build_dependency(model, x)
    names = {module: layer for layer, module in model.named_modules()}
    last = list(layers)[-1]
    for layer in list(layers)[:: 7 if name == "densenet121" else 1]:
        pruner = graph.get_pruner_of_module(layers[layer])
        for channel in (0, 1, layers[layer].weight.shape[0] - 1):
            theirs = set()
            for dep, indices in graph.get_pruning_group(layers[layer], pruner.prune_out_channels, [channel]):
                module = dep.target.module
                if module in names and not isinstance(module, nn.modules.batchnorm._BatchNorm):
                    side = 0 if graph.is_out_channel_pruning_fn(dep.handler) else 1
                    theirs |= {(names[module], side, index) for index in indices}
            unit = int(known.out[layer][channel])
            if layer == last:
                assert unit == -1  # logits stay
                continue
            ours = {
                (found, side, index)
                for found, pair in removal.of_units(known, {unit}).items() if found in layers
                for side, marks in enumerate(pair) for index in marks.nonzero().flatten().tolist()
            }  # fmt: skip
            assert ours == theirs, (layer, channel)


class Gated(nn.Module):
    """A gated linear unit: halves of one layer are multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 16), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.glu(self.first(x), dim=-1) if self.training else self.halves(x))

    def halves(self, x: Tensor) -> Tensor:
        kept, gate = self.first(x).chunk(2, -1)
        return kept * torch.sigmoid(gate)


class Upsampled(nn.Module):
    """Four channels become one of twice the height and width."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last, self.head = nn.Conv2d(3, 16, 3), nn.Conv2d(4, 5, 1), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.last(F.pixel_shuffle(torch.relu(self.first(x)), 2)).mean((2, 3)))


class Interleaved(nn.Module):
    """Channels shuffled in two groups, as in ShuffleNet."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last, self.head = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 6, 1), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.head(self.last(x).mean((2, 3)))


class Padded(nn.Module):
    """A shortcut that is filled up with zero channels and pooled; sums in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.wide, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 8, 1), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        y = self.wide(torch.relu(x))
        y += F.pad(x, (0, 0, 0, 0, 0, 4))
        return self.head(F.adaptive_avg_pool2d(y, 1).flatten(1))


@pytest.mark.parametrize(
    ("model", "shape", "expected"),
    [
        (Gated(), (6,), {"first": (8, 2)}),
        (Upsampled(), (3, 6, 6), {"first": (4, 4), "last": (5, 1)}),
        (Interleaved(), (3, 4, 4), {"first": (4, 2), "last": (6, 1)}),
        (Padded(), (3, 4, 4), {"first": (4, 2)}),
    ],
    ids=lambda v: type(v).__name__ if isinstance(v, nn.Module) else None,
)
def test_channels_that_are_moved_or_multiplied_go_together_and_exactly(model, shape, expected):
    """Root → how many units, and how many rows each has in all layers."""
    model, x = random_weights(model), torch.rand(2, *shape)
    groups = coupling.find(model, x)
    found = {
        group.root: (
            group.size,
            sum(len(m.indices) for m in group.members if m.direction == "out") / group.size,
        )
        for group in groups
    }
    assert found == expected
    assert units.sound(model, groups, x)[1] == ""
    pruned = prune(model, Recipe(granularity="unit"), 0.4, example_input=x, generator=torch.Generator())
    assert pruned.note == ""
    masked = removal.masked(model, pruned.history, x)
    torch.testing.assert_close(pruned.model(x), masked(x), atol=1e-6, rtol=1e-5)
    again = removal.replay(model, pruned.history, x)
    assert torch.equal(again(x), pruned.model(x))


class Written(nn.Module):
    """One layer between others, and something that its channels cannot survive."""

    def __init__(self, between: str) -> None:
        super().__init__()
        self.between = between
        self.before, self.first, self.last = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 8, 1), nn.Conv2d(8, 5, 1)
        self.norm = nn.LocalResponseNorm(3)
        self.head = nn.Linear(5, 3)
        self.register_buffer("scale", torch.rand(8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(torch.relu(self.before(x)))
        match self.between:
            case "buffer":
                x = x * self.scale
            case "local response norm":
                x = self.norm(x)
            case "view":
                x = x.view(-1, 8, 16).view(-1, 8, 4, 4)
            case "softmax":
                x = torch.softmax(x, 1)
            case "index":
                x = x[:, [1, 0, 3, 2, 5, 4, 7, 6]]
            case "product":
                x = torch.einsum("ncij,ncjk->ncik", x, x.transpose(2, 3))
        return self.head(self.last(x).mean((2, 3)))


@pytest.mark.parametrize("between", ["buffer", "local response norm", "view", "softmax", "index", "product"])
def test_one_layer_that_cannot_lose_channels_is_left_and_the_others_are_pruned(between):
    model, x = random_weights(Written(between)), torch.rand(2, 3, 4, 4)
    recipe = Recipe(granularity="unit", allocation="uniform")
    pruned = prune(model, recipe, 0.3, example_input=x, generator=torch.Generator())
    assert {step.layer for step in pruned.history} == {"before", "last"}
    assert pruned.model.first.out_channels == 8
    masked = removal.masked(model, pruned.history, x)
    torch.testing.assert_close(pruned.model(x), masked(x), atol=1e-6, rtol=1e-5)
    assert ("left whole: first (" in pruned.note) == (between == "view")
    with pytest.raises(PruningError, match="'before', 'last'\\] leaves no filter|first cannot lose channels"):
        prune(
            model, Recipe(granularity="unit", exclude=("before", "last")), 0.3, example_input=x,
            generator=torch.Generator(),
        )  # fmt: skip
