"""Each criterion against a closed form, finite differences or a naive twin; and what a recipe may not ask."""

import copy
import importlib.metadata
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from pruning import coupling, prunable, scoring, units
from pruning import criteria as registry
from pruning.criteria import Context, criteria, criterion, synflow
from pruning.criteria._table import table as criteria_table
from pruning.errors import PruningError
from pruning.methods import resolve
from pruning.prune import prune
from pruning.recipe import Recipe
from pruning.sample import Sample

GENERATOR = torch.Generator()


def network(seed: int = 0) -> tuple[nn.Sequential, Sample]:
    """A small net in double precision, without kinks, and eight labelled examples."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), nn.Softplus(), nn.Flatten(), nn.Linear(12, 4)
    ).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator)
    x = torch.rand(8, 2, 3, 3, generator=generator, dtype=torch.float64)
    return model.eval(), Sample(x, torch.arange(8) % 4)


def scores(model: nn.Module, sample: Sample, name: str, **choices: object) -> dict[str, Tensor]:
    recipe = Recipe.model_validate({"criterion": name, **choices})
    found = scoring.score(
        model, recipe, example_input=sample.x[:1], generator=torch.Generator(), sample=sample
    )
    return dict(found.weights)


def slopes(model: nn.Module, sample: Sample) -> dict[str, Tensor]:
    """Per weight (N, *shape): each example's loss by each weight, by central differences."""
    found = {}
    for name, weight in prunable.weights(model).items():
        flat, step, rows = weight.detach().view(-1), 1e-5, []
        for i in range(len(flat)):
            losses = []
            for sign in (1, -1):
                before = flat[i].item()
                flat[i] += sign * step
                losses.append(F.cross_entropy(model(sample.x), sample.y, reduction="none").detach())
                flat[i] = before
            rows.append((losses[0] - losses[1]) / (2 * step))
        found[name] = torch.stack(rows, 1).view(-1, *weight.shape)
    return found


def test_taylor_fisher_and_snip_against_finite_differences():
    model, sample = network()
    brute = slopes(model, sample)
    taylor, fisher, snip = (scores(model, sample, name) for name in ("taylor", "fisher", "snip"))
    whole = sum(
        float((w.detach() * brute[n].mean(0)).abs().sum()) for n, w in prunable.weights(model).items()
    )
    for name, weight in prunable.weights(model).items():
        w, g = weight.detach(), brute[name]
        torch.testing.assert_close(taylor[name], (w * g).abs().mean(0), rtol=1e-6, atol=1e-10)
        torch.testing.assert_close(fisher[name], w**2 * (g**2).mean(0) / 2, rtol=1e-6, atol=1e-10)
        torch.testing.assert_close(snip[name], (w * g.mean(0)).abs() / whole, rtol=1e-6, atol=1e-10)
    assert not torch.allclose(taylor["4.weight"] / taylor["4.weight"].sum(), snip["4.weight"], rtol=0.1)


def test_taylor_and_fisher_of_logistic_regression_in_closed_form():
    """The gradient of one example's cross-entropy by W is (softmax(Wx) − onehot(y)) xᵀ."""
    model = nn.Sequential(nn.Linear(5, 3)).double()
    x, y = torch.rand(7, 5, dtype=torch.float64), torch.arange(7) % 3
    residual = (model(x).softmax(1) - F.one_hot(y, 3)).detach()
    slope = residual[:, :, None] * x[:, None, :]
    weight = model[0].weight.detach()
    sample = Sample(x, y)
    torch.testing.assert_close(
        scores(model, sample, "taylor")["0.weight"], weight.abs() * slope.abs().mean(0)
    )
    torch.testing.assert_close(
        scores(model, sample, "fisher")["0.weight"], weight**2 * (slope**2).mean(0) / 2
    )


def test_taylor_of_a_unit_is_the_sum_over_all_filters_it_owns(residual):
    found = scores(residual.model, residual.sample, "taylor")
    groups = coupling.find(copy.deepcopy(residual.model), residual.x)
    recipe = Recipe(criterion="taylor", granularity="unit")
    assert recipe.norm == "l1"
    stream = next(i for i, g in enumerate(groups) if any(m.layer == "stem.0" for m in g.members))
    found_units = units.importance(groups, found, recipe)[stream]
    owned = [found["stem.0.weight"], found["same.3.weight"]]  # both write to the residual stream
    torch.testing.assert_close(found_units, sum(rows.flatten(1).sum(1) for rows in owned).double())


@pytest.mark.parametrize("layer", [
    nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.Conv2d(4, 6, (2, 3), groups=2, dilation=(1, 2)),
    nn.Conv2d(4, 4, 3, groups=4, padding=1, padding_mode="circular"), nn.Linear(5, 3),
], ids=["strided", "grouped", "depthwise-circular", "linear"])  # fmt: skip
def test_wanda_against_a_naive_twin(layer):
    """The inputs that meet a weight, found by moving an impulse through the layer."""
    x = torch.rand(3, 4, 6, 5, generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(layer, nn.Flatten(), nn.LazyLinear(3))
    model(x)
    found = scores(model, Sample(x, torch.zeros(3, dtype=torch.long)), "wanda")["0.weight"]
    naive = torch.zeros_like(layer.weight)
    impulse = copy.deepcopy(layer)
    impulse.bias = None
    for at in torch.cartesian_prod(*(torch.arange(n) for n in layer.weight.shape)):
        with torch.no_grad():
            impulse.weight.zero_()
            impulse.weight[tuple(at)] = 1
            naive[tuple(at)] = layer.weight[tuple(at)].abs() * (impulse(x).square().sum() / 3).sqrt()
    torch.testing.assert_close(found.float(), naive.detach())


def test_apoz_by_hand():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]]))
        model[0].bias.copy_(torch.tensor([0.0, 0.0, -2.5]))
    x = torch.tensor([[1.0, 1.0], [1.0, 2.0], [1.0, 3.0], [-1.0, 3.0]])
    sample = Sample(x, torch.zeros(4, dtype=torch.long))
    assert scores(model, sample, "apoz", granularity="unit")["2.weight"].tolist() == [[0.75, 0.25, 0.5]]
    pruned = prune(
        model, Recipe(criterion="apoz", granularity="unit"), 0.3, example_input=x, generator=GENERATOR,
        sample=sample,
    )  # fmt: skip
    assert [step.indices for step in pruned.history] == [(1,)]


def test_synflow_of_two_layers_in_closed_form_and_conserved():
    """R = 1ᵀ|W₂||W₁|1: each weight's flow is itself times what comes in and what goes out of it."""
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    one, two = (model[i].weight.detach().double().abs() for i in (0, 2))
    found = scores(
        model, Sample(torch.rand(1, 4), torch.zeros(1, dtype=torch.long)), "synflow", granularity="unit"
    )
    torch.testing.assert_close(found["0.weight"], one * two.sum(0)[:, None])
    torch.testing.assert_close(found["2.weight"], two * one.sum(1)[None, :])
    torch.testing.assert_close(found["0.weight"].sum(1), found["2.weight"].sum(0))  # in and out of each unit


@given(st.integers(0, 200))
@settings(max_examples=10, deadline=None)
def test_synflow_in_rounds_keeps_a_path_where_one_round_cuts_all(seed):
    """A deep net with one wide layer, at a density where one-shot flow empties the wide layer."""
    generator = torch.Generator().manual_seed(seed)
    widths = (4, 6, 200, 6, 3)
    layers = [nn.Linear(a, b, bias=False) for a, b in pairwise(widths)]
    for layer in layers:
        nn.init.normal_(layer.weight, generator=generator)
    model = nn.Sequential(*layers)
    x = torch.rand(1, 4, generator=generator)
    recipe = Recipe(criterion="synflow")
    pruned = prune(model, recipe, 0.98, example_input=x, generator=GENERATOR)
    kept = [pruned.model[i].weight.detach().abs().double() for i in range(4)]
    flow = torch.ones(4, dtype=torch.float64)
    for weight in kept:
        flow = weight @ flow
    assert flow.sum() > 0  # a path is left
    # the same density by flow in one round leaves of the wide layers what cannot be a path
    once = scores(model, Sample(x, torch.zeros(1, dtype=torch.long)), "synflow", granularity="unit")
    flat = torch.cat([s.flatten() for s in once.values()])
    threshold = flat.kthvalue(round(0.98 * len(flat))).values
    counts = [int((s > threshold).sum()) for s in once.values()]
    assert min(counts[1:3]) < min(int(w.count_nonzero()) for w in kept[1:3])


def test_synflow_says_when_nothing_flows():
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.two(torch.round(self.one(x)))  # a step has no slope

    model, x = Gated(), torch.rand(1, 3)
    with pytest.raises(PruningError, match="synflow: nothing flows through most weights of one "):
        prune(model, Recipe(criterion="synflow"), 0.5, example_input=x, generator=GENERATOR)


@pytest.mark.parametrize("name", [n for n, c in criteria().items() if c.needs == "data"])
@pytest.mark.parametrize("size", [1, 3])
def test_the_batch_size_changes_nothing(name, size):
    model, sample = network()
    granularity = "unit" if criterion(name).units_only else "weight"
    whole = scores(model, sample, name, granularity=granularity)
    small = Sample(sample.x, sample.y, batch_size=size)
    parts = scores(model, small, name, granularity=granularity)
    for key, score in whole.items():
        torch.testing.assert_close(parts[key], score, rtol=1e-10, atol=0)


@pytest.mark.parametrize("name", sorted(criteria()))
def test_scoring_leaves_everything_as_it_was(name):
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.Linear(12, 3)
    ).train()
    model[0].weight.requires_grad_(False)
    model[5].weight.grad = torch.ones_like(model[5].weight)
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    sample = Sample(torch.rand(4, 1, 4, 4), torch.arange(4) % 3)
    state = torch.get_rng_state()
    scores(model, sample, name, granularity="unit")
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert not model[0].weight.requires_grad
    assert torch.equal(model[5].weight.grad, torch.ones_like(model[5].weight))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("name", [n for n, c in criteria().items() if c.needs == "data"])
def test_data_that_is_missing_is_asked_for(name):
    model, sample = network()
    recipe = Recipe(criterion=name, granularity="unit")
    with pytest.raises(PruningError, match=f"criterion '{name}' .* needs training data, and there is none"):
        prune(model, recipe, 0.5, example_input=sample.x, generator=GENERATOR)


def test_sensitivity_asks_for_data_too_and_is_the_loss_without_the_layer():
    model, sample = network()
    recipe = Recipe(allocation="layerwise")
    with pytest.raises(PruningError, match="allocation 'layerwise' .* needs training data"):
        prune(model, recipe, 0.5, example_input=sample.x, generator=GENERATOR)
    found = scoring.score(model, recipe, example_input=sample.x, generator=GENERATOR, sample=sample)
    for name, weight in prunable.weights(model).items():
        trial = copy.deepcopy(model)
        flat = trial.get_parameter(name).detach().view(-1)
        flat[weight.detach().view(-1).abs().argsort()[: round(0.9 * len(flat))]] = 0
        assert found.sensitivity[name] == pytest.approx(
            F.cross_entropy(trial(sample.x), sample.y).item(), rel=1e-12
        )


def test_a_layer_whose_inputs_cannot_be_seen_is_named():
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.head = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(12, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.attention(x, x, x, need_weights=False)[0].flatten(1))

    model = Attention()
    sample = Sample(torch.rand(4, 3, 4), torch.arange(4) % 3)
    with pytest.raises(PruningError, match=r"attention\.out_proj is never called as a layer.* exclude"):
        scores(model, sample, "wanda")
    found = scores(model, sample, "wanda", exclude=["attention.*"])
    assert list(found) == ["head.weight"]
    assert all(torch.isfinite(s).all() for s in scores(model, sample, "taylor").values())


def test_scores_are_kept_bit_for_bit(tmp_path):
    model, sample = network()
    recipe = Recipe(criterion="fisher", allocation="layerwise")
    found = scoring.score(model, recipe, example_input=sample.x, generator=GENERATOR, sample=sample)
    scoring.save(found, tmp_path / "scores.safetensors")
    again = scoring.load(tmp_path / "scores.safetensors")
    assert again.sensitivity == found.sensitivity
    assert again.weights.keys() == found.weights.keys()
    assert all(torch.equal(again.weights[n], s) for n, s in found.weights.items())


def test_known_scores_are_used_and_not_found_again():
    model, sample = network()
    recipe = resolve({"criterion": "random", "like": "taylor"})[1]
    (basis,) = scoring.bases(recipe)
    assert basis == Recipe(criterion="taylor")
    found = scoring.score(model, basis, example_input=sample.x, generator=GENERATOR, sample=sample)
    a, b = (
        prune(
            model, recipe, 0.5, example_input=sample.x, generator=torch.Generator().manual_seed(1), **how
        ).masks
        for how in ({"known": {basis: found}}, {"sample": sample})
    )
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_every_criterion_says_what_it_needs():
    for name, found in criteria().items():
        assert found.needs in ("weights", "model", "data")
        assert (found.norm is None) == (found.importance is not None)
        assert criterion(name) is found


def test_flow_that_is_not_finite_is_said():
    model = nn.Sequential(nn.Linear(2, 2, bias=False)).double()
    with torch.no_grad():
        model[0].weight.fill_(1e308)
    with pytest.raises(PruningError, match="through 0 is not finite"):
        synflow.flow(model, prunable.weights(model), torch.full((1, 2), 10.0, dtype=torch.float64))
    assert Context(GENERATOR, model, torch.ones(1, 2)).granularity == "weight"


def zeroed(model: nn.Module, layer: int, unit: int, x: Tensor, share: float) -> Tensor:
    """The logits with one feature map of a Sequential, as it leaves ``layer``, smaller by a share."""
    for i, module in enumerate(model):
        x = module(x)
        if i == layer:
            scale = torch.ones(x.shape[1], dtype=x.dtype)
            scale[unit] -= share
            x = x * scale.view(-1, *[1] * (x.dim() - 2))
    return x


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Identity()])
def test_taylor_2017_is_the_slope_of_the_loss_as_a_feature_map_fades(pool):
    """Finite differences through the gate of the paper's equation 1, behind activation, before pooling."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 5, 2), nn.BatchNorm2d(5), nn.Softplus(), pool, nn.Conv2d(5, 4, 1), nn.ReLU(),
        nn.Flatten(), nn.LazyLinear(3),
    ).double()  # fmt: skip
    x, y = torch.rand(6, 2, 5, 5, dtype=torch.float64), torch.arange(6) % 3
    model(x)
    sample, step = Sample(x, y, batch_size=4), 1e-6
    model.eval()
    found = scores(model, sample, "taylor_2017", granularity="unit")
    for name, layer, units_ in (("0.weight", 2, 5), ("4.weight", 5, 4)):
        brute = []
        for unit in range(units_):
            losses = [
                F.cross_entropy(zeroed(model, layer, unit, x, s), y, reduction="none") for s in (-step, step)
            ]
            brute.append(((losses[1] - losses[0]) / (2 * step)).abs().sum())
        plain = torch.stack(brute)
        torch.testing.assert_close(found[name], (plain / plain.norm()).detach(), rtol=1e-5, atol=1e-8)


def test_taylor_2017_adds_the_readers_of_a_residual_stream_before_it_takes_the_size(residual):
    """Two layers read it: the loss's change is their sum, which no mean of sizes is."""
    found = scores(residual.model, residual.sample, "taylor_2017", granularity="unit")
    model, x, y = copy.deepcopy(residual.model).eval(), residual.sample.x, residual.sample.y
    seen = []
    model.same.register_forward_pre_hook(lambda m, a: seen.append(a[0]) or None)
    gate = torch.ones(len(x), 8, 1, 1, requires_grad=True)
    stem = model.stem
    h = torch.relu(stem(x) + model.same(stem(x)))  # what shortcut and wider read
    h0 = stem(x)
    h0 = h0 * gate
    h1 = torch.relu(h0.detach() + model.same(h0))
    h1 = h1 * gate
    out = model.head(torch.relu(model.shortcut(h1) + model.wider(h1)).mean((2, 3)))
    (slope,) = torch.autograd.grad(F.cross_entropy(out, y, reduction="sum"), gate)
    assert h.shape == h1.shape
    plain = slope[:, :, 0, 0].double().abs().sum(0)
    torch.testing.assert_close(found["stem.0.weight"], plain / plain.norm(), rtol=1e-4, atol=1e-6)


def test_taylor_2019_against_finite_differences():
    """The squared slope of an example's loss as all that makes a unit fades; for weights twice Fisher."""
    model, sample = network()
    brute = slopes(model, sample)
    fisher, squares = (scores(model, sample, name) for name in ("fisher", "taylor_2019"))
    for name, value in squares.items():
        torch.testing.assert_close(value, 2 * fisher[name])
    found = scores(model, sample, "taylor_2019", granularity="unit")
    rows = (prunable.weights(model)["0.weight"].detach() * brute["0.weight"]).flatten(2).sum(2)
    assert list(found) == ["0.weight"]
    torch.testing.assert_close(found["0.weight"], rows.square().mean(0), rtol=1e-6, atol=1e-10)


MINE = '''"""Mine: the square."""
SOURCE, NEEDS = "nobody", "weights"
def score(weights, context):
    return {name: weight.detach().square() for name, weight in weights.items()}
def importance(groups, scores):
    import torch
    return [torch.arange(group.size, dtype=torch.float64) for group in groups]
'''


def offer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, text: str) -> None:
    """Another package with a criterion."""
    (tmp_path / f"somebody_{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = importlib.metadata.EntryPoint(name, f"somebody_{name}", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])


def test_another_package_s_criterion_joins(cnn, generator, monkeypatch, tmp_path):
    offer(monkeypatch, tmp_path, "mine", MINE)
    assert "mine" in criteria()
    assert criteria()["mine"].summary == "Mine: the square."
    assert registry.plugins() == {"criterion 'mine'": tmp_path / "somebody_mine.py"}
    weights = prune(cnn.model, Recipe(criterion="mine"), 0.5, example_input=cnn.x, generator=generator)
    same = prune(cnn.model, Recipe(), 0.5, example_input=cnn.x, generator=generator)
    assert all(torch.equal(weights.masks[name], mask) for name, mask in same.masks.items())
    recipe = Recipe(criterion="mine", granularity="unit", allocation="uniform")
    assert recipe.norm is None
    pruned = prune(cnn.model, recipe, 0.5, example_input=cnn.x, generator=generator)
    assert all(step.indices == tuple(range(len(step.indices))) for step in pruned.history)
    assert "mine" not in criteria_table()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("taylor", MINE, "its name is in use"),
        ("bad", "SOURCE = 'x'", "must be a module with a docstring, SOURCE, NEEDS and score"),
        ("odd", MINE.replace('"weights"', '"luck"'), "NEEDS must be"),
        ("broken", "1 / 0", "cannot be loaded: ZeroDivisionError"),
    ],
)
def test_a_bad_criterion_of_another_package_is_named(monkeypatch, tmp_path, name, text, message):
    offer(monkeypatch, tmp_path, name, text)
    with pytest.raises(PruningError, match=f"criterion '{name}' .*{message}"):
        criteria()
