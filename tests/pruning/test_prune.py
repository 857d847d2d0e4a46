import copy
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pruning_networks import one_shot
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from pruning import masks, prunable
from pruning.errors import PruningError
from pruning.methods import methods
from pruning.prune import Pruned, prune
from pruning.recipe import Recipe
from pruning.sample import Sample

ALL = one_shot()
WEIGHTS = [recipe for recipe in ALL if recipe.granularity == "weight"]


def run(case, recipe: Recipe, sparsity: float, seed: int = 0) -> Pruned:
    generator = torch.Generator().manual_seed(seed)
    return prune(case.model, recipe, sparsity, example_input=case.x, generator=generator, sample=case.sample)


def sample_of(x: Tensor, classes: int = 3) -> Sample:
    return Sample(x, torch.arange(len(x)) % classes)


def zeros(model: nn.Module) -> int:
    return sum(int((w == 0).sum()) for w in prunable.weights(model).values())


@st.composite
def networks(draw: st.DrawFn) -> tuple[nn.Module, Tensor]:
    """A random multilayer perceptron or CNN, with or without batch norm, and inputs."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    widths = draw(st.lists(st.integers(2, 9), min_size=2, max_size=4))
    parts: list[nn.Module] = []
    if draw(st.booleans()):
        x = torch.rand(2, widths[0], 4, 4, generator=generator)
        norm, bias = draw(st.booleans()), draw(st.booleans())
        for into, out in pairwise(widths):
            parts += [nn.Conv2d(into, out, 3, padding=1, bias=bias), nn.Sigmoid()]
            parts += [nn.BatchNorm2d(out)] if norm else []
        parts += [nn.AvgPool2d(2), nn.Flatten(), nn.Linear(widths[-1] * 4, 3)]
    else:
        x = torch.rand(2, widths[0], generator=generator)
        for into, out in pairwise(widths):
            parts += [nn.Linear(into, out), nn.ReLU()]
        parts += [nn.Linear(widths[-1], 3)]
    model = nn.Sequential(*parts)
    for parameter in model.parameters():
        nn.init.normal_(parameter, generator=generator)
    return model, x


@given(networks(), st.floats(0, 1, exclude_max=True), st.sampled_from(WEIGHTS))
@settings(max_examples=60, deadline=None)
def test_zeros_are_exact_for_any_sparsity(network, sparsity, recipe):
    model, x = network
    count = sum(w.numel() for w in prunable.weights(model).values())
    wanted = round(sparsity * count)
    if wanted > count - len(prunable.weights(model)):
        with pytest.raises(PruningError, match="keeps at least one"):
            prune(model, recipe, sparsity, example_input=x, generator=torch.Generator(), sample=sample_of(x))
        return
    pruned = prune(model, recipe, sparsity, example_input=x, generator=torch.Generator(), sample=sample_of(x))
    assert zeros(pruned.model) == wanted
    assert pruned.achieved == pytest.approx(wanted / count, abs=1e-12)


@pytest.mark.parametrize("recipe", ALL, ids=lambda r: r.name)
def test_the_model_given_is_left_as_it_was_and_the_result_is_ordinary(case, recipe):
    if recipe.criterion == "apoz" and case.never_zero:
        return
    model = case.model.train()
    model.get_parameter(next(iter(prunable.weights(model)))).requires_grad_(False)
    flags = {name: p.requires_grad for name, p in model.named_parameters()}
    before = copy.deepcopy(model.state_dict())
    random_state = torch.get_rng_state()
    pruned = run(case, recipe, 0.5).model
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(module.training for module in [*model.modules(), *pruned.modules()])
    for subject in (model, pruned):
        assert {name: p.requires_grad for name, p in subject.named_parameters()} == flags
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in subject.modules())
        assert all(p.grad is None and p.is_leaf for p in subject.parameters())
    assert list(pruned.state_dict()) == list(before)
    twin = copy.deepcopy(pruned).eval()
    assert torch.equal(twin(case.x), pruned.eval()(case.x))


@pytest.mark.parametrize("recipe", ALL, ids=lambda r: r.name)
def test_same_seed_same_model(cnn, recipe):
    a, b = (run(cnn, recipe, 0.6, seed=3).model.state_dict() for _ in range(2))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("recipe", [r for r in ALL if r.criterion == "random"], ids=lambda r: r.name)
def test_chance_depends_on_the_seed(cnn, recipe):
    a, b = (run(cnn, recipe, 0.6, seed=seed) for seed in (0, 1))
    if recipe.granularity == "unit":
        assert a.history != b.history
    else:
        assert any((a.masks[name] != b.masks[name]).any() for name in a.masks)


@pytest.mark.parametrize("recipe", WEIGHTS, ids=lambda r: r.name)
def test_masks_nest(cnn, recipe):
    sweep = [run(cnn, recipe, s).masks for s in (0.0, 0.3, 0.5, 0.9, 0.99)]
    for loose, tight in pairwise(sweep):
        assert all((tight[name] <= loose[name]).all() for name in loose)


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize("held", [True, False], ids=["held", "not-held"])
def test_zeros_stay_zero_while_training_only_if_held(cnn, optimiser, held):
    pruned = run(cnn, methods()["global-magnitude"].recipe, 0.8)
    model = pruned.model.train()
    makers = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-2),
        "adam": lambda p: torch.optim.Adam(p, lr=1e-2, weight_decay=1e-3),
    }
    steps = makers[optimiser](model.parameters())
    before = copy.deepcopy(model.state_dict())
    digits = load_digits()
    x = torch.tensor(digits.images[:64] / 16, dtype=torch.float32).unsqueeze(1)
    y = torch.tensor(digits.target[:64])
    handle = masks.hold(steps, model, pruned.masks) if held else None
    for _ in range(5):
        steps.zero_grad()
        F.cross_entropy(model(x), y).backward()
        steps.step()
    revived = sum(
        int(model.get_parameter(name)[~mask].count_nonzero()) for name, mask in pruned.masks.items()
    )
    assert (revived == 0) == held
    assert any(not torch.equal(before[name], model.state_dict()[name]) for name in pruned.masks)
    if handle is not None:  # let go, and they come back
        handle.remove()
        F.cross_entropy(model(x), y).backward()
        steps.step()
        assert zeros(model) < sum(int((~mask).sum()) for mask in pruned.masks.values())


def test_weights_that_were_zero_count_as_gone(cnn):
    with torch.no_grad():
        cnn.model[0].weight.zero_()
    pruned = run(cnn, methods()["random"].recipe, 0.5)
    count = sum(mask.numel() for mask in pruned.masks.values())
    assert sum(int((~mask).sum()) for mask in pruned.masks.values()) == round(0.5 * count)
    assert pruned.achieved == 1 - (count - zeros(pruned.model)) / count > 0.5


@pytest.mark.parametrize("recipe", ALL, ids=lambda r: r.name)
@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5, float("nan")])
def test_sparsity_out_of_range_is_refused(cnn, recipe, sparsity):
    with pytest.raises(PruningError, match=r"\[0, 1\)"):
        run(cnn, recipe, sparsity)


@pytest.mark.parametrize("recipe", ALL, ids=lambda r: r.name)
def test_nothing_prunable_is_said(recipe):
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4))
    x = torch.zeros(2, 4)
    with pytest.raises(PruningError, match="nothing to prune"):
        prune(model, recipe, 0.5, example_input=x, generator=torch.Generator(), sample=sample_of(x))


@pytest.mark.parametrize("recipe", ALL, ids=lambda r: r.name)
def test_weights_that_are_not_numbers_are_named(cnn, recipe):
    with torch.no_grad():
        cnn.model[4].weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(PruningError, match=r"4\.weight holds NaN"):
        run(cnn, recipe, 0.5)


def test_a_tied_weight_is_counted_once_and_stays_tied(generator):
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6))
    model[2].weight = model[0].weight
    x = torch.rand(2, 6, generator=generator)
    recipe = methods()["global-magnitude"].recipe
    pruned = prune(model, recipe, 0.5, example_input=x, generator=generator)
    assert list(pruned.masks) == ["0.weight"]
    assert pruned.model[0].weight is pruned.model[2].weight
    assert pruned.achieved == 0.5
    with pytest.raises(PruningError, match=r"0\.weight and 2\.weight are one tied parameter"):
        prune(model, methods()["filter-l2"].recipe, 0.5, example_input=x, generator=generator)
