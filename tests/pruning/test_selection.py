"""Thresholds, matched controls, layers left alone, and requests that cannot be met."""

import pytest
import torch
from torch import Tensor, nn

from pruning import measure, prunable
from pruning.errors import PruningError
from pruning.methods import resolve
from pruning.prune import Pruned, prune
from pruning.recipe import Recipe


def run(case, recipe: Recipe, sparsity: float | None, seed: int = 0) -> Pruned:
    generator = torch.Generator().manual_seed(seed)
    return prune(case.model, recipe, sparsity, example_input=case.x, generator=generator, sample=case.sample)


def counts(pruned: Pruned) -> dict[str, int]:
    if pruned.masks:
        return {name: int((~mask).sum()) for name, mask in pruned.masks.items()}
    return {step.layer: len(step.indices) for step in pruned.history}


def test_a_threshold_keeps_what_is_above_it_and_its_sparsity_follows(cnn):
    pruned = run(cnn, Recipe(threshold=0.1), None)
    total = gone = 0
    for name, weight in prunable.weights(cnn.model).items():
        assert torch.equal(pruned.masks[name], weight.detach().abs() > 0.1)  # large negative ones stay
        total, gone = total + weight.numel(), gone + int((weight.detach().abs() <= 0.1).sum())
    assert pruned.achieved == pytest.approx(gone / total, abs=1e-12)


def test_the_papers_example_in_its_own_words():
    """§4.1 keeps w > α; of 1…9 and α = 4 that is 5…9 (§4.3 prints another mask)."""
    model = nn.Linear(3, 3, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.arange(1.0, 10).view(3, 3))
    x = torch.ones(1, 3)
    pruned = prune(model, Recipe(threshold=4.0), None, example_input=x, generator=torch.Generator())
    assert pruned.model.weight.tolist() == [[0, 0, 0], [0, 5, 6], [7, 8, 9]]
    with torch.no_grad():
        model.weight[2, 2] = -9.0
    pruned = prune(model, Recipe(threshold=4.0), None, example_input=x, generator=torch.Generator())
    assert pruned.model.weight[2].tolist() == [7, 8, -9]  # a magnitude rule needs |w|


def test_a_threshold_for_units_drops_those_at_or_below_it(cnn):
    norms = cnn.model[0].weight.detach().flatten(1).double().norm(dim=1)
    alpha = float(norms.sort().values[3])
    recipe = Recipe(granularity="unit", threshold=alpha, exclude=("4", "9"))
    pruned = run(cnn, recipe, None)
    (step,) = pruned.history
    assert set(step.indices) == set(torch.nonzero(norms <= alpha).flatten().tolist())


@pytest.mark.parametrize("granularity", ["weight", "unit"])
def test_a_threshold_that_would_empty_a_layer_is_refused_by_name(cnn, granularity):
    with pytest.raises(PruningError, match="threshold 100 would empty 0.*highest score is"):
        run(cnn, Recipe(threshold=100, granularity=granularity), None)


def test_sparsity_and_threshold_exclude_each_other(cnn):
    with pytest.raises(PruningError, match="has a threshold, from which its sparsity follows"):
        run(cnn, Recipe(threshold=0.1), 0.5)
    with pytest.raises(PruningError, match="sparsity must be in"):
        run(cnn, Recipe(), None)


@pytest.mark.parametrize("like", ["global-magnitude", "synflow", "layerwise", "threshold"])
def test_a_matched_control_has_the_others_layer_counts_and_not_its_choice(cnn, like):
    recipe = resolve({"criterion": "random", "like": like})[1]
    sparsity = 0.8 if recipe.sweeps else None
    control, other = run(cnn, recipe, sparsity), run(cnn, recipe.like, sparsity)
    assert counts(control) == counts(other)
    assert control.achieved == other.achieved
    assert any((control.masks[n] != other.masks[n]).any() for n in control.masks)
    assert run(cnn, recipe, sparsity, seed=1).masks.keys() == control.masks.keys()
    assert any((run(cnn, recipe, sparsity, seed=1).masks[n] != m).any() for n, m in control.masks.items())


def test_a_matched_control_of_units(residual):
    recipe = resolve("filter-random-like-taylor")[1]
    control, other = run(residual, recipe, 0.6), run(residual, recipe.like, 0.6)
    assert counts(control) == counts(other)
    assert control.history != other.history


@pytest.mark.parametrize("granularity", ["weight", "unit"])
def test_excluded_layers_are_left_alone_and_still_count(cnn, granularity):
    recipe = Recipe(granularity=granularity, exclude=("0",))
    pruned = run(cnn, recipe, 0.5)
    total = sum(w.numel() for w in prunable.weights(cnn.model).values())
    assert torch.equal(pruned.model[0].weight, cnn.model[0].weight)
    assert "0.weight" not in pruned.masks
    assert pruned.achieved == pytest.approx(0.5, abs=0.02)
    left = sum(int(w.count_nonzero()) for w in prunable.weights(pruned.model).values())
    assert pruned.achieved == pytest.approx(1 - left / total, abs=1e-12)


@pytest.mark.parametrize("granularity", ["weight", "unit"])
def test_exclusions_that_leave_nothing_or_fit_nothing_are_explained(cnn, granularity):
    with pytest.raises(PruningError, match=r"leaves no layer to prune: there are only 0\.weight"):
        run(cnn, Recipe(granularity=granularity, exclude=("*",)), 0.5)
    with pytest.raises(PruningError, match=r"no prunable layer is named 'conv\*'; there are: 0, 4, 9, 11"):
        run(cnn, Recipe(granularity=granularity, exclude=("conv*",)), 0.5)


def test_what_is_beyond_reach_because_of_exclusions_is_said(cnn):
    with pytest.raises(PruningError, match=r"at most 5389 can go, sparsity 0\.3967"):
        run(cnn, Recipe(exclude=("9",)), 0.9)


def test_a_control_cannot_take_from_a_layer_it_leaves_alone(cnn):
    recipe = Recipe(criterion="random", like=Recipe(), exclude=("0",))
    with pytest.raises(PruningError, match=r"like takes from 0\.weight, which is excluded here"):
        run(cnn, recipe, 0.5)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"criterion": "apoz"}, "apoz judges whole units, there is none of it for a weight"),
        ({"criterion": "apoz", "granularity": "unit", "norm": "l1"}, "apoz judges whole units; drop norm"),
        ({"granularity": "unit", "allocation": "row"}, "allocation 'row' compares the weights of one row"),
        ({"allocation": "threshold"}, "threshold and allocation = 'threshold' go together"),
        ({"threshold": 0.1, "allocation": "erk"}, "threshold and allocation = 'threshold' go together"),
        ({"allocation": "matched"}, "like and allocation = 'matched' go together"),
        ({"like": "filter-l2"}, "like is a recipe for granularity 'unit'"),
        ({"like": "magic"}, "no pruning method is named 'magic'"),
        ({"threshold": -1}, "threshold: Input should be greater than or equal to 0"),
        ({"allocation": "fair"}, "no allocation is named 'fair'; there are: erk, global, lamp, layerwise"),
    ],
)
def test_choices_that_do_not_go_together_are_explained(entry, message):
    with pytest.raises(PruningError) as caught:
        resolve(entry)
    assert message in str(caught.value)


def test_names_tell_recipes_apart():
    names = {
        resolve(entry)[0]
        for entry in (
            {}, {"threshold": 0.1}, {"threshold": 0.2}, {"criterion": "random", "like": "taylor"},
            {"criterion": "random", "like": "erk"}, {"exclude": ["0"]}, {"exclude": ["1"]},
        )
    }  # fmt: skip
    assert len(names) == 7
    assert not any("@" in name for name in names)


class Reused(nn.Module):
    """Calls one convolution twice, between layers of the same width."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice, self.head = (
            nn.Conv2d(1, 6, 3, padding=1),
            nn.Conv2d(6, 6, 3, padding=1),
            nn.Linear(96, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.twice(torch.relu(self.twice(torch.relu(self.first(x))))))
        return self.head(x.flatten(1))


class Sliced(nn.Module):
    """Adds the first half of its channels, a number written down, to the second."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv(x))
        return self.head((x[:, :4] + x[:, 4:8]).flatten(1))


@pytest.mark.parametrize(("model", "layer"), [(Reused(), "twice"), (Sliced(), "conv")])
def test_a_model_that_reuses_a_module_or_hard_codes_a_width_is_exact_or_refused_by_name(model, layer):
    x = torch.rand(4, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    try:
        pruned = prune(model, Recipe(granularity="unit"), 0.4, example_input=x, generator=torch.Generator())
    except PruningError as error:
        assert layer in str(error)  # noqa: PT017
    else:
        assert pruned.achieved == pytest.approx(0.4, abs=0.1)
        assert pruned.model(x).shape == (4, 3)


@pytest.mark.parametrize("sparsity", [0.3, 0.6])
def test_widths_are_rounded_and_no_layer_loses_more_than_its_cap(residual, sparsity):
    rounded = run(residual, Recipe(granularity="unit", allocation="uniform", round_to=4), sparsity)
    widths = [
        layer.weight.shape[0] for name, layer in prunable.layers(rounded.model).items() if name != "head"
    ]
    assert all(width % 4 == 0 for width in widths)
    assert rounded.achieved == pytest.approx(sparsity, abs=0.2)  # half of four units
    capped = run(residual, Recipe(granularity="unit", cap=0.5), 0.3)
    dense = prunable.layers(residual.model)
    for name, layer in prunable.layers(capped.model).items():
        assert layer.weight.shape[0] >= dense[name].weight.shape[0] / 2
    with pytest.raises(PruningError, match="beyond reach"):
        run(residual, Recipe(granularity="unit", cap=0.1), 0.6)


@pytest.mark.parametrize("sparsity", [0.3, 0.6])
def test_a_sparsity_of_multiply_adds(residual, sparsity):
    """Counted by torch's own counter, which knows nothing of units."""
    pruned = run(residual, Recipe(granularity="unit", allocation="uniform", target="macs"), sparsity)
    before, after = (measure.size(m, residual.x).macs for m in (residual.model, pruned.model))
    assert 1 - after / before == pytest.approx(sparsity, abs=0.06)  # half a unit of the stream
    assert pruned.achieved != pytest.approx(sparsity, abs=0.005)


@pytest.mark.parametrize("choice", [{"round_to": 8}, {"cap": 0.5}, {"target": "macs"}])
def test_what_is_about_units_does_nothing_for_weights_and_shows_in_the_name(choice):
    (key,) = choice
    with pytest.raises(PruningError, match=f"{key} is about whole units"):
        resolve(choice)
    assert resolve({"granularity": "unit"})[0] != resolve({"granularity": "unit", **choice})[0]
