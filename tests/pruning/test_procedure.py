"""Whole procedures: exact at the end, nothing revived where it is hard, revived where it is soft."""

import copy
import re
from itertools import pairwise

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pruning_lab import OPTIMISERS, Lab, small, total, zeros
from pruning_networks import largest_unit, networks
from torch import Tensor, nn
from torch.nn import functional as F

from pruning import hardness as softening
from pruning import masks, prunable, removal, storage
from pruning.errors import PruningError
from pruning.methods import methods
from pruning.procedure import Prepare
from pruning.recipe import Recipe

PRESETS = [name for name, method in methods().items() if method.recipe.sweeps]


@pytest.mark.parametrize("steps", [0, 12])
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_ends_at_what_it_promises(name, steps):
    sparsity = 0.8
    recipe = methods()[name].recipe
    model, x = small()
    before = copy.deepcopy(model.state_dict())
    lab = Lab(model, x, steps=steps)
    if recipe.recovery == "batch-norm":
        result = lab.follow(recipe, sparsity, recalibrate=lambda model: None)
    elif recipe.rewind is not None and steps == 0:
        with pytest.raises(PruningError, match="not known here"):
            lab.follow(recipe, sparsity)
        return
    else:
        result = lab.follow(recipe, sparsity)
    assert all(torch.equal(before[n], v) for n, v in model.state_dict().items())
    gone = 1 - sum(int(w.count_nonzero()) for w in prunable.weights(result.model).values()) / total(model)
    assert result.achieved == pytest.approx(gone, abs=1e-12)
    if recipe.hardness == "attenuate":
        assert result.achieved == 0
    elif recipe.granularity == "weight" and recipe.allocation != "row":
        assert round(result.achieved * total(model)) == round(sparsity * total(model))
    else:
        assert abs(result.achieved - sparsity) * total(model) <= (6 * 9 + 9) if recipe.like is None else True
    assert (result.history != ()) == (recipe.granularity == "unit" and recipe.hardness != "attenuate")
    assert result.model(x).shape == (12, 4)
    if steps and recipe.recovery == "fine-tune" and recipe.rewind is None:
        assert sum(stop - start for start, stop in lab.trained) == steps  # as many as any other


@given(
    st.sampled_from(["magnitude", "random", "taylor", "synflow", "fisher"]),
    st.sampled_from(["global", "uniform", "lamp", "erk", "layerwise"]),
    st.sampled_from(["iterative", "polynomial"]),
    st.integers(1, 6), st.floats(0, 0.95), st.integers(0, 20), st.sampled_from(["sgd", "adam"]),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_rounds_count_exactly_and_give_nothing_back(
    criterion, rule, schedule, steps, sparsity, seed, optimiser
):
    model, x = small(seed)
    lab = Lab(model, x, optimiser=optimiser, steps=7)
    recipe = Recipe(criterion=criterion, allocation=rule, schedule=schedule, steps=steps)
    result = lab.follow(recipe, sparsity)
    n = total(model)
    counts = [sum(int((~mask).sum()) for mask in part.masks.values()) for part in lab.pruned]
    assert counts[-1] == round(sparsity * n)
    assert counts == sorted(counts)
    for loose, tight in pairwise(lab.pruned):
        assert all((tight.masks[name] <= loose.masks[name]).all() for name in loose.masks)
        assert all(mask.any() for mask in tight.masks.values())
    for name, mask in result.masks.items():
        assert not result.model.get_parameter(name)[~mask].any()
    gone: dict[str, Tensor] = {}
    for weights in lab.seen:  # once zero, for ever zero
        assert all(not weights[name][lost].any() for name, lost in gone.items())
        gone = {name: weight == 0 for name, weight in weights.items()}


def open_gates(model: nn.Module) -> nn.Module:
    """Positive biases: a unit of zero weights behind a shut ReLU has no gradient and cannot come back."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.abs_().add_(0.1)
    return model


@pytest.mark.parametrize("optimiser", list(OPTIMISERS))
def test_soft_weights_come_back_and_hard_ones_do_not(optimiser):
    model, x = small(3)
    open_gates(model)
    zero = {}
    for hardness in ("soft", "hard"):
        lab = Lab(model, x, optimiser=optimiser)
        result = lab.follow(Recipe(hardness=hardness), 0.5)
        zero[hardness] = max(zeros(weights) for weights in lab.seen)
        assert zeros({n: w.detach() for n, w in prunable.weights(result.model).items()}) == total(model) // 2
    assert zero["soft"] < total(model) // 4  # in one step more than half of them are back
    assert zero["hard"] >= total(model) // 2


def test_soft_filters_come_back_in_training():
    model, x = small(3)
    open_gates(model)
    soft, hard = Lab(model, x), Lab(model, x)
    soft.follow(Recipe(granularity="unit", allocation="uniform", hardness="soft"), 0.5)
    hard.follow(Recipe(granularity="unit", allocation="uniform"), 0.5)
    chosen = soft.pruned[0].history[0]
    assert chosen.layer == "0"
    after = soft.seen[0]["0.weight"]
    assert after.shape[0] == 6
    assert after[list(chosen.indices)].flatten(1).any(1).all()
    assert hard.seen[0]["0.weight"].shape[0] == 6 - len(chosen.indices)


@pytest.mark.parametrize("granularity", ["weight", "unit"])
def test_what_grew_back_is_kept_if_soft_and_gone_if_hard(granularity):
    """A training that makes large what it finds zero: the first choice is the opposite of the last."""
    model, x = small(3, norm=False)

    def grow(model: nn.Module, start: int, stop: int, prepare: Prepare) -> None:
        prepare(optimiser := torch.optim.SGD(model.parameters(), lr=0.0))
        with torch.no_grad():
            for weight in prunable.weights(model).values():
                weight[weight == 0] = 9.0
        F.cross_entropy(model(x), torch.zeros(len(x), dtype=torch.long)).backward()
        optimiser.step()

    for hardness in ("soft", "hard"):
        lab = Lab(model, x, steps=3)
        lab.run = grow  # type: ignore[method-assign]
        recipe = Recipe(granularity=granularity, allocation="uniform", hardness=hardness)
        result = lab.follow(recipe, 0.4)
        nines = sum(int((w == 9).sum()) for w in prunable.weights(result.model).values())
        assert (nines > 0) == (hardness == "soft")
        choices = [part.history if granularity == "unit" else part.masks for part in lab.pruned]
        assert len(choices) == (4 if hardness == "soft" else 1)  # each of three epochs, and for good


def test_a_polynomial_goes_on_with_one_optimiser_and_rounds_start_anew():
    model, x = small()
    for schedule, carried in (("polynomial", True), ("iterative", False)):
        lab = Lab(model, x, steps=12)
        lab.follow(Recipe(schedule=schedule, steps=3), 0.8)
        lengths = [stop - start for start, stop in lab.trained]
        assert sum(lengths) == 12
        assert lab.moments == ([3, 6, 9, 12] if carried else [4, 4, 4])  # the end is at ¾
        counts = [sum(int((~m).sum()) for m in part.masks.values()) / total(model) for part in lab.pruned]
        wanted = (
            [0, 0.8 * 19 / 27, 0.8 * 26 / 27, 0.8]
            if carried
            else [1 - 0.2 ** (1 / 3), 1 - 0.2 ** (2 / 3), 0.8]
        )
        assert counts == pytest.approx(wanted, abs=1 / total(model))


@pytest.mark.parametrize("granularity", ["weight", "unit"])
def test_weights_go_back_to_where_they_were_and_train_to_the_end(granularity):
    model, x = small()
    lab = Lab(model, x, steps=8)
    recipe = Recipe(granularity=granularity, schedule="iterative", steps=2, rewind="weights", rewind_to=0.25)
    seen: list[dict[str, Tensor]] = []
    run = lab.run

    def watched(model: nn.Module, start: int, stop: int, prepare: Prepare) -> None:
        seen.append({n: w.detach().clone() for n, w in prunable.weights(model).items()})
        run(model, start, stop, prepare)

    lab.run = watched  # type: ignore[method-assign]
    result = lab.follow(recipe, 0.6)
    assert lab.trained == [(2, 8), (2, 8)]
    early = prunable.weights(lab.early(2))
    for at_start in seen:
        for name, weight in at_start.items():
            if granularity == "weight":
                assert torch.equal(weight[weight != 0], early[name][weight != 0])
            else:
                assert torch.isin(weight, early[name]).all()
    assert zeros(seen[0]) < zeros(seen[1]) if granularity == "weight" else len(result.history) > 1


def test_learning_rate_rewinding_keeps_the_weights():
    model, x = small()
    lab = Lab(model, x, steps=8)
    result = lab.follow(Recipe(rewind="learning-rate", rewind_to=0.5), 0.5)
    assert lab.trained == [(4, 8)]
    assert not torch.isin(result.model[0].weight, lab.early(4)[0].weight).any()
    assert (result.model[0].weight - model[0].weight).abs().max() < 0.5


@pytest.mark.parametrize(
    ("recipe", "missing", "message"),
    [
        (Recipe(rewind="weights"), "early", "early weights of the dense model, and there are none"),
        (Recipe(rewind="learning-rate"), "original", "repeats the training of the dense model"),
        (Recipe(recovery="batch-norm"), "recalibrate", "needs training examples, and there are none"),
    ],
)
def test_means_that_are_missing_are_named(recipe, missing, message):
    model, x = small()
    with pytest.raises(PruningError, match=message):
        Lab(model, x).follow(recipe, 0.5, **{missing: None})


@pytest.mark.parametrize("optimiser", list(OPTIMISERS))
def test_masks_survive_training_saving_loading_and_training_again(case, optimiser, tmp_path):
    lab = Lab(case.model, case.x, optimiser=optimiser, steps=3)
    pruned = lab.follow(Recipe(), 0.7)
    for compressed in (False, True):
        path = tmp_path / f"{compressed}.safetensors"
        storage.save(pruned.model, path, compressed=compressed)
        model = storage.load(path, case.build, case.x)
        lab.run(model, 0, 3, lambda steps, m=model: masks.hold(steps, m, pruned.masks))
        assert zeros({n: w.detach() for n, w in prunable.weights(model).items()}) >= round(0.7 * total(model))
        assert all(not model.get_parameter(name)[~mask].any() for name, mask in pruned.masks.items())


WAYS = [
    Recipe(schedule="iterative", steps=3), Recipe(schedule="polynomial", steps=3), Recipe(hardness="soft"),
    Recipe(hardness="soft-threshold"), Recipe(schedule="iterative", steps=2, rewind="weights"),
    Recipe(granularity="unit", allocation="uniform", schedule="iterative", steps=3),
    Recipe(granularity="unit", hardness="soft"),
    Recipe(granularity="unit", schedule="polynomial", steps=2, criterion="taylor"),
    Recipe(granularity="unit", schedule="iterative", steps=2, rewind="weights"),
]  # fmt: skip


@pytest.mark.parametrize("recipe", WAYS, ids=lambda r: r.name)
@given(networks(), st.floats(0, 0.8), st.sampled_from(list(OPTIMISERS)))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_way_ends_at_what_was_asked_on_any_architecture(recipe, network, sparsity, optimiser):
    dense = network.model
    lab = Lab(dense, network.x, optimiser=optimiser, steps=3)
    n, layers = total(dense), len(prunable.weights(dense))
    try:
        result = lab.follow(recipe, sparsity)
    except PruningError as error:
        if recipe.granularity == "unit":
            assert re.search("beyond reach|one tied parameter|no filter or neuron", str(error))  # noqa: PT017
        else:
            assert round(sparsity * n) > n - layers
        return
    left = sum(int(w.count_nonzero()) for w in prunable.weights(result.model).values())
    assert result.achieved == pytest.approx(1 - left / n, abs=1e-12)
    if recipe.granularity == "weight":
        assert n - left == round(sparsity * n)
    else:
        assert abs((1 - sparsity) * n - left) <= largest_unit(network)
        rebuilt = removal.replay(dense, result.history, network.x)
        rebuilt.load_state_dict(result.model.state_dict())
        torch.testing.assert_close(rebuilt(network.x), result.model(network.x))
    assert result.model.head.out_features == dense.head.out_features
    assert all(w.numel() > 0 and (w != 0).any() for w in prunable.weights(result.model).values())
    if network.kind == "tied":
        assert result.model.body[0].weight is result.model.body[2].weight


def test_a_threshold_decides_the_sparsity_in_soft_pruning_too():
    model, x = small()
    hard, soft = (Lab(model, x).follow(Recipe(threshold=0.2, hardness=h), None) for h in ("hard", "soft"))
    assert 0 < hard.achieved < 1
    for name, weight in prunable.weights(model).items():
        assert torch.equal(hard.masks[name], weight.abs() > 0.2)
    gone = [w[w != 0].abs().min() for w in prunable.weights(soft.model).values()]
    assert min(gone) > 0.2
    with pytest.raises(ValueError, match="leaves no sparsity to go to by steps"):
        Recipe(threshold=0.2, schedule="iterative")


def test_an_allocation_that_would_give_back_is_held_to_what_is_gone():
    """Earlier two of ``a`` went; now the allocation wants all from ``b``."""
    scores = {"a": torch.tensor([0.0, 0.0, 3.0, 4.0]), "b": torch.tensor([5.0, 6.0, 7.0, 8.0])}
    kept = {"a": torch.tensor([False, False, True, True]), "b": torch.ones(4, dtype=torch.bool)}
    chosen = {"a": torch.ones(4, dtype=torch.bool), "b": torch.tensor([False, False, False, True])}
    found = masks.nested(chosen, kept, scores)
    assert found["a"].tolist() == [False, False, True, True]
    assert found["b"].tolist() == [False, True, True, True]
    assert all(
        torch.equal(a, b)
        for a, b in zip(masks.nested(kept, kept, scores).values(), kept.values(), strict=True)
    )
    again = masks.rescored({"a": torch.tensor([-2.0, 1.0, 0.0, -3.0])}, kept)["a"]
    assert again[:2].tolist() == [0.0, 0.0]
    assert 0 < again[3] < again[2]


@pytest.mark.parametrize("optimiser", list(OPTIMISERS))
def test_one_optimiser_goes_on_while_units_are_removed(optimiser):
    """Momentum of what is left is what it was: cut as its parameter is, by the same indices."""
    model, x = small()
    lab = Lab(model, x, optimiser=optimiser, steps=12)
    key = "momentum_buffer" if optimiser == "sgd" else "exp_avg"
    handed, left, run = [], [], lab.run

    def watched(model: nn.Module, start: int, stop: int, prepare: Prepare) -> None:
        made = []

        def spying(optimiser: torch.optim.Optimizer) -> None:
            prepare(optimiser)
            made.append(optimiser)
            handed.append([optimiser.state[p].get(key) for p in model.parameters()])
            handed[-1] = [None if m is None else m.clone() for m in handed[-1]]

        run(model, start, stop, spying)
        left.append([made[0].state[p][key].clone() for p in model.parameters()])

    lab.run = watched  # type: ignore[method-assign]
    recipe = Recipe(granularity="unit", allocation="uniform", schedule="polynomial", steps=3)
    result = lab.follow(recipe, 0.6)
    assert len(left) == 4
    assert all(moment is None for moment in handed[0])
    cut = 0
    for before, after, part in zip(left, handed[1:], lab.pruned[1:], strict=False):
        gone = {step.layer: step.indices for step in part.history}
        if "0" in gone:
            stay = [i for i in range(before[0].shape[0]) if i not in gone["0"]]
            assert torch.equal(after[0], before[0][stay])
            assert torch.equal(after[1], before[1][stay])
            cut += 1
        assert [m.shape for m in after] != [m.shape for m in before] or not gone
    assert cut
    assert result.achieved == pytest.approx(0.6, abs=0.1)


def test_attenuation_decreases_over_the_epochs(monkeypatch):
    model, x = small()
    used, soften = [], softening.soften
    monkeypatch.setattr(softening, "soften", lambda m, s, k, f: (used.append(f), soften(m, s, k, f)))
    Lab(model, x).follow(Recipe(hardness="attenuate", factor=0.25), 0.5)
    assert used == pytest.approx([0.75, 0.5, 0.25, 0.25])  # three epochs, and once more
