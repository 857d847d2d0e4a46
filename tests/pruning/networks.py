"""Random architectures of every kind that pruning must handle; and the presets that cut once."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from pruning import coupling, prunable
from pruning.methods import methods
from pruning.recipe import Recipe
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


def random_weights(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model with weights, biases and norm statistics drawn so that nothing is symmetric or neutral."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.dim() > 1:
                tensor.copy_(torch.randn(tensor.shape, generator=generator) / tensor[0].numel() ** 0.5)
            elif name.endswith("running_var"):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            elif tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.5 + 0.2)
    return model.eval()


@st.composite
def networks(draw: st.DrawFn, *kinds: str) -> Network:
    """One of the kinds (default: any), of random widths, with batch norm or without where it may have it."""
    kind = draw(st.sampled_from(kinds or tuple(KINDS)))
    widths = draw(st.lists(st.integers(3, 9), min_size=2, max_size=4))
    seed = draw(st.integers(0, 1000))
    body, shape, width = KINDS[kind](widths, draw(st.booleans()))
    model = Net(body, width)
    random_weights(model, seed)
    generator = torch.Generator().manual_seed(seed)
    return Network(kind, model.eval(), torch.rand(6, *shape, generator=generator))


def largest_unit(network: Network) -> int:
    """The most weights that one unit of the dense model owns."""
    shapes = {name: layer.weight.shape for name, layer in prunable.layers(network.model).items()}
    return max(
        sum(
            int((m.units == unit).sum())
            * (shapes[m.layer].numel() // shapes[m.layer][0 if m.direction == "out" else 1])
            for m in group.members
        )
        for group in coupling.find(copy.deepcopy(network.model), network.x)
        for unit in range(group.size)
    )


def one_shot() -> list[Recipe]:
    """The recipes of all presets that cut once and for good, at a sparsity that is asked for."""
    return [
        recipe
        for recipe in (method.recipe for method in methods().values())
        if recipe.sweeps and recipe.schedule == "one-shot" and recipe.hardness == "hard"
        if recipe.rewind is None and recipe.recovery == "fine-tune"
    ]
