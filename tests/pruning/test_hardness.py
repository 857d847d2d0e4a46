import pytest
import torch
from torch import nn

from pruning import hardness, prunable, removal
from pruning.errors import PruningError
from pruning.methods import methods
from pruning.prune import prune
from pruning.removal import Removal


@pytest.fixture
def layer() -> nn.Linear:
    model = nn.Linear(6, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[-3.0, 0.5, -1.0, 2.0, 0.0, -0.25]]))
    return model


SMALLEST = {"weight": torch.tensor([[True, False, False, True, False, False]])}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("soft", [-3.0, 0.0, 0.0, 2.0, 0.0, 0.0]),
        ("soft-threshold", [-2.0, 0.0, 0.0, 1.0, 0.0, 0.0]),
        ("attenuate", [-3.0, 0.125, -0.25, 2.0, 0.0, -0.0625]),
    ],
)
def test_by_hand(layer, kind, expected):
    hardness.soften(layer, SMALLEST, kind, 0.25)
    assert layer.weight.tolist() == [expected]


def test_soft_thresholding_is_torchs_softshrink(case):
    chosen = prune(
        case.model, methods()["global-magnitude"].recipe, 0.6, example_input=case.x,
        generator=torch.Generator(),
    ).masks  # fmt: skip
    before = {name: weight.detach().clone() for name, weight in prunable.weights(case.model).items()}
    hardness.soft_threshold(case.model, chosen)
    for name, mask in chosen.items():
        threshold = float(before[name][~mask].abs().max()) if (~mask).any() else 0.0
        wanted = nn.functional.softshrink(before[name], threshold)
        assert torch.equal(case.model.get_parameter(name), wanted)


@pytest.mark.parametrize("kind", ["soft", "soft-threshold", "attenuate"])
def test_masks_that_do_not_fit_are_named(layer, kind):
    with pytest.raises(PruningError, match=r"no such parameter"):
        hardness.soften(layer, {"bias": torch.ones(1, dtype=torch.bool)}, kind)
    with pytest.raises(PruningError, match=r"mask of weight"):
        hardness.soften(layer, {"weight": torch.ones(6, dtype=torch.bool)}, kind)


def test_filters_are_what_removal_takes_of_the_producers(case):
    history = prune(
        case.model, methods()["filter-l2"].recipe, 0.5, example_input=case.x, generator=torch.Generator()
    ).history
    assert history
    masked = removal.masked(case.model, history, case.x)
    for name, mask in hardness.filters(case.model, history, case.x).items():
        weight = masked.get_parameter(name)
        whole = mask.flatten(1)
        assert (whole.all(1) | ~whole.any(1)).all()  # whole filters or nothing
        assert not weight[~mask].any()
        rows = weight.flatten(1).abs().sum(1) > 0
        assert torch.equal(whole.all(1), rows)


def test_filters_of_another_model_are_refused(cnn):
    with pytest.raises(PruningError, match="names nowhere, which is no prunable layer"):
        hardness.filters(cnn.model, [Removal(layer="nowhere", direction="out", indices=(0,))], cnn.x)


def test_attenuation_decreases_to_its_factor():
    """Cai et al. 2020: a factor that falls as training goes on."""
    assert hardness.factors(0.1, 1) == [0.1]
    assert hardness.factors(0.1, 3) == pytest.approx([0.7, 0.4, 0.1])


def test_a_tie_with_the_threshold_leaves_no_negative_zero(layer):
    with torch.no_grad():
        layer.weight.fill_(-1.0)
    hardness.soften(
        layer, {"weight": torch.tensor([[True, False, True, True, True, True]])}, "soft-threshold"
    )
    assert not layer.weight.signbit().any()
