"""Whole procedures: exact at the end, nothing revived where it is hard, revived where it is soft."""

import copy
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pruning_networks import largest_unit, networks
from torch import Tensor, nn
from torch.nn import functional as F

from pruning import masks, prunable, removal, storage
from pruning.errors import PruningError
from pruning.masks import Masks
from pruning.methods import methods, resolve
from pruning.procedure import Means, Prepare, Training, follow
from pruning.prune import Pruned, prune
from pruning.recipe import Recipe
from pruning.sample import Sample

OPTIMISERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, weight_decay=1e-2),
    "adam": lambda p: torch.optim.Adam(p, lr=1e-2, weight_decay=1e-3),
}
PRESETS = [name for name, method in methods().items() if method.recipe.sweeps]


class Lab:
    """Everything a procedure is handed, and a record of what it does with it."""

    def __init__(self, model: nn.Module, x: Tensor, *, optimiser: str = "adam", steps: int = 12) -> None:
        self.dense, self.x, self.optimiser, self.steps = model, x, optimiser, steps
        with torch.no_grad():
            self.y = torch.arange(len(x)) % model(x).shape[1]
        self.pruned: list[Pruned] = []
        self.trained: list[tuple[int, int]] = []
        self.seen: list[dict[str, Tensor]] = []
        """The prunable weights after each step of training."""
        self.moments: list[int] = []
        """The optimiser's own count of steps after each part."""

    def run(self, model: nn.Module, start: int, stop: int, prepare: Prepare) -> None:
        optimiser = OPTIMISERS[self.optimiser](model.parameters())
        prepare(optimiser)
        model.train()
        for _ in range(start, stop):
            optimiser.zero_grad()
            F.cross_entropy(model(self.x), self.y).backward()
            optimiser.step()
            self.seen.append({n: w.detach().clone() for n, w in prunable.weights(model).items()})
        model.eval()
        self.trained.append((start, stop))
        states = list(optimiser.state.values())
        self.moments.append(int(states[0]["step"]) if "step" in states[0] else 0)

    def early(self, step: int) -> nn.Module:
        model = copy.deepcopy(self.dense)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1.0 + step)  # recognisable
        return model

    def follow(self, recipe: Recipe, sparsity: float | None, **without: None) -> Pruned:
        generator, sample = torch.Generator().manual_seed(0), Sample(self.x, self.y)

        def one_shot(model: nn.Module, share: float | None, kept: Masks | None = None) -> Pruned:
            self.pruned.append(prune(
                model, recipe, share, example_input=self.x, generator=generator, sample=sample, kept=kept
            ))  # fmt: skip
            return self.pruned[-1]

        training = Training(self.run, self.steps, 3) if self.steps else None
        means = {
            "finetune": training,
            "original": training,
            "early": self.early,
            "recalibrate": None,
            **without,
        }
        return follow(self.dense, recipe, sparsity, Means(one_shot, **means), self.x)


def total(model: nn.Module) -> int:
    return sum(w.numel() for w in prunable.weights(model).values())


def zeros(weights: dict[str, Tensor]) -> int:
    return sum(int((w == 0).sum()) for w in weights.values())


def small(seed: int = 0, norm: bool = True) -> tuple[nn.Module, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3), *([nn.BatchNorm2d(6)] if norm else []), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(32, 10), nn.ReLU(), nn.Linear(10, 4),
    )  # fmt: skip
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4, generator=generator)
    return model.eval(), torch.rand(12, 1, 6, 6, generator=generator)


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
        assert lab.moments == ([3, 6, 9, 12] if carried else [4, 4, 4])
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


class Block(nn.Module):
    """3 tokens of 8 → 4 logits: attention written by hand, LayerNorm, and two layers of one tied weight."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.q, self.k, self.v = nn.LayerNorm(8), *(nn.Linear(8, 8) for _ in range(3))
        self.k.weight = self.q.weight
        self.up, self.down, self.head = nn.Linear(8, 16), nn.Linear(16, 8), nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        x = x + torch.softmax(self.q(y) @ self.k(y).transpose(1, 2), 2) @ self.v(y)
        return self.head((x + self.down(torch.relu(self.up(x)))).flatten(1))


TIED = [
    "iterative-magnitude",
    "gradual-magnitude",
    "lr-rewind",
    "soft-magnitude",
    "soft-threshold",
    "attenuation",
]


@pytest.mark.parametrize("name", [*TIED, "lottery-ticket"])
def test_tied_weights_stay_tied(name):
    model, x = Block().eval(), torch.rand(8, 3, 8)
    result = Lab(model, x).follow(methods()[name].recipe, 0.6).model
    assert result.q.weight is result.k.weight
    assert result.q.bias is not result.k.bias


@pytest.mark.parametrize("name", ["iterative-filter", "soft-filter", "gradual-soft-filter"])
def test_units_of_tied_weights_are_refused_by_name(name):
    with pytest.raises(PruningError, match=r"q\.weight and k\.weight are one tied parameter"):
        Lab(Block().eval(), torch.rand(8, 3, 8)).follow(methods()[name].recipe, 0.6)


@pytest.mark.parametrize("name", ["gradual-magnitude", "soft-filter"])
def test_results_are_ordinary_modules(case, name):
    """deepcopy, torch.export and torch.compile (traced; no compiler is run) take them."""
    torch.compiler.reset()
    result = Lab(case.model, case.x, steps=2).follow(methods()[name].recipe, 0.5).model
    outputs = result(case.x)
    assert torch.equal(copy.deepcopy(result)(case.x), outputs)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in result.modules())
    exported = torch.export.export(result, (case.x,)).module()
    torch.testing.assert_close(exported(case.x), outputs)
    torch.testing.assert_close(torch.compile(result, backend="aot_eager", fullgraph=True)(case.x), outputs)


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


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"steps": 3}, "steps does nothing here; drop it, or set schedule = 'iterative' or"),
        ({"factor": 0.5}, "factor does nothing here; drop it, or set hardness = 'attenuate'"),
        ({"schedule": "iterative", "initial": 0.5}, "initial does nothing here"),
        ({"rewind_to": 0.5}, "rewind_to does nothing here"),
        ({"hardness": "soft-threshold", "criterion": "random"}, "soft-threshold shrinks |w| itself"),
        ({"hardness": "soft-threshold", "granularity": "unit"}, "soft-threshold shrinks |w| itself"),
        ({"hardness": "soft", "rewind": "weights"}, "rewind trains what was pruned once more"),
        ({"schedule": "polynomial", "rewind": "weights"}, "rewind trains what was pruned once more"),
        ({"schedule": "polynomial", "recovery": "none"}, "schedule 'polynomial' prunes while it trains"),
        ({"rewind": "weights", "recovery": "batch-norm"}, "rewind prunes while it trains"),
        ({"hardness": "soft", "recovery": "magic"}, "recovery: Input should be 'none', 'batch-norm'"),
    ],
)  # fmt: skip
def test_choices_that_do_not_go_together_are_explained(entry, message):
    with pytest.raises(PruningError) as error:
        resolve(entry)
    assert message in str(error.value)


def test_every_choice_shows_in_the_name():
    ways = [
        {}, {"hardness": "soft"}, {"hardness": "attenuate"}, {"hardness": "attenuate", "factor": 0.5},
        {"schedule": "iterative"}, {"schedule": "iterative", "steps": 3}, {"schedule": "polynomial"},
        {"schedule": "polynomial", "initial": 0.5}, {"rewind": "weights"}, {"rewind": "learning-rate"},
        {"rewind": "weights", "rewind_to": 0.1}, {"recovery": "none"}, {"recovery": "batch-norm"},
    ]  # fmt: skip
    assert len({Recipe(**way).name for way in ways}) == len(ways)
    assert Recipe(schedule="polynomial", initial=0.5).name == "magnitude-weight-global-polynomial10-from0.5"
