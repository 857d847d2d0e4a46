"""SynFlow where activations overwrite their input, gates multiply and attention mixes, beside a twin."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pruning import prunable, scoring
from pruning.criteria import synflow
from pruning.errors import PruningError
from pruning.recipe import Recipe


def scores(model: nn.Module, x: Tensor, granularity: str = "unit") -> dict[str, Tensor]:
    recipe = Recipe.model_validate({"criterion": "synflow", "granularity": granularity})
    return dict(scoring.score(model, recipe, example_input=x, generator=torch.Generator()).weights)


def drawn(model: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator)
    return model.eval()


def mobile(activation: nn.Module) -> nn.Sequential:
    """What MobileNetV2 is made of: an expansion, a depthwise convolution, a projection."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), copy.deepcopy(activation),
        nn.Conv2d(8, 8, 3, groups=8), nn.BatchNorm2d(8), copy.deepcopy(activation),
        nn.Conv2d(8, 6, 1), nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(6 * 16, 5),
    )  # fmt: skip


def twin(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """|w·∂R/∂w| of a copy whose activations are taken out and whose numbers are absolute values."""
    own = copy.deepcopy(model).double()
    with torch.no_grad():
        for name, parameter in own.named_parameters():
            parameter.copy_(torch.zeros_like(parameter) if name.endswith("bias") else parameter.abs())
    for name, module in list(own.named_children()):
        if isinstance(module, (nn.ReLU6, nn.Hardswish, nn.SiLU, nn.ELU)):
            setattr(own, name, nn.Identity())
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.zero_()
    own(torch.ones_like(x[:1]).double()).sum().backward()
    return {name: (w * w.grad).abs().detach() for name, w in prunable.weights(own).items()}


@pytest.mark.parametrize(
    "activation",
    [nn.ReLU6(inplace=True), nn.Hardswish(inplace=True), nn.SiLU(inplace=True), nn.ELU()],
    ids=str,
)
def test_activations_pass_the_flow_even_where_they_overwrite_it(activation):
    model, x = drawn(mobile(activation)), torch.rand(1, 3, 6, 6)
    found = scores(model, x)
    for name, expected in twin(model, x).items():
        torch.testing.assert_close(found[name].double(), expected)


def test_rounds_agree_with_a_plain_loop_of_a_hundred():
    model, x = drawn(mobile(nn.ReLU6(inplace=True))), torch.rand(1, 3, 6, 6)
    total = sum(w.numel() for w in prunable.weights(model).values())
    own = copy.deepcopy(model)
    masks = {name: torch.ones_like(w, dtype=torch.bool) for name, w in prunable.weights(own).items()}
    for step in range(1, 101):
        flows = twin(own, x)
        kept = {name: flow[masks[name]] for name, flow in flows.items()}
        best = {name: flow.max() for name, flow in kept.items()}
        others = torch.cat([flow[flow < best[name]] for name, flow in kept.items()]).sort().values
        going = sum(map(len, kept.values())) - round(total * 1e-3 ** (step / 100))
        if 0 < going <= len(others):
            for name, weight in prunable.weights(own).items():
                masks[name] &= (flows[name] > others[going - 1]) | (flows[name] == best[name])
                weight.data.mul_(masks[name])
        if step == 40:
            halfway = {name: mask.clone() for name, mask in masks.items()}
    found = scores(model, x, "weight")
    assert 0.9 < 1 - sum(int(m.sum()) for m in halfway.values()) / total < 0.95
    for name, mask in halfway.items():
        assert torch.equal(found[name] >= 41, mask), name


class Gated(nn.Module):
    """Squeeze-and-excitation between two convolutions."""

    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 1)
        self.down, self.up, self.gate = nn.Conv2d(6, 2, 1), nn.Conv2d(2, 6, 1), gate

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        opened = self.gate(self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)), inplace=True)))
        return self.last(opened * x).flatten(1)


@pytest.mark.parametrize("gate", [nn.Sigmoid(), nn.Hardsigmoid(inplace=True)], ids=str)
def test_a_gate_is_one_and_divides_what_flows_through_it(gate):
    model, x = drawn(Gated(gate)), torch.rand(1, 3, 5, 5)
    found = {name: float(score.sum()) for name, score in scores(model, x).items()}
    plain = nn.Sequential(model.first, model.last)  # the same without the gate
    through = float(scores(plain, x)["0.weight"].sum())
    assert found["last.weight"] == pytest.approx(through)
    assert found["up.weight"] == pytest.approx(through)  # conserved
    assert found["down.weight"] == pytest.approx(through)
    assert found["first.weight"] == pytest.approx(2 * through)  # as what is opened, and as what opens


class Swish(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)


def test_a_swish_written_out_is_an_activation():
    model, x = drawn(mobile(Swish())), torch.rand(1, 3, 6, 6)
    torch.testing.assert_close(scores(model, x), scores(drawn(mobile(nn.SiLU())), x))


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 3)
        self.first = nn.Linear(8, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.first(x))
        return self.head((x + self.attention(y, y, y, need_weights=False)[0]).mean(1))


def test_attention_carries_a_finite_flow_to_queries_keys_and_values():
    model, x = drawn(Attention()), torch.rand(1, 5, 8)
    found = scores(model, x)
    assert all(torch.isfinite(score).all() and (score > 0).all() for score in found.values())
    assert float(found["attention.out_proj.weight"].sum()) < float(found["head.weight"].sum())


def test_a_network_through_which_nothing_flows_is_refused_by_name():
    model = drawn(nn.Sequential(nn.Linear(4, 30), nn.ReLU(), nn.Linear(30, 3)))
    nn.init.zeros_(model[2].weight)  # as the heads of torchvision's transformers come
    with pytest.raises(PruningError, match=r"nothing flows through the network; .* all zero: 2\.weight$"):
        scores(model, torch.rand(1, 4))


def test_what_is_dead_since_it_was_pruned_is_no_reason_to_refuse():
    model = drawn(nn.Sequential(nn.Linear(4, 30), nn.ReLU(), nn.Linear(30, 3)))
    with torch.no_grad():
        model[2].weight[:, :25] = 0
    found = scores(model, torch.rand(1, 4))
    assert not found["0.weight"][:25].any()
    assert found["0.weight"][25:].all()


def test_deep_networks_are_scored_in_rounds_beyond_the_range_of_single_precision():
    layers = [nn.Linear(6, 6, bias=False) for _ in range(60)]
    model = nn.Sequential(*layers, nn.Linear(6, 2))
    for layer in layers:
        nn.init.uniform_(layer.weight, 3, 4)  # flow of some 20⁶⁰, as in DenseNet-121
    found = scores(model, torch.rand(1, 6), "weight")
    assert all(torch.isfinite(score).all() for score in found.values())
    assert synflow._SINGLE < 20.0**60
