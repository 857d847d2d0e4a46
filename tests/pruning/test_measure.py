import pytest
import torch
from torch import nn

from pruning import measure, prunable
from pruning.measure import _median
from pruning.methods import methods
from pruning.prune import prune


def test_macs_of_a_small_cnn_by_hand():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 6, 1), nn.Flatten(), nn.Linear(24, 10),
    )  # fmt: skip
    by_hand = 8 * 8 * 4 * 9 + 2 * 2 * 4 * 9 + 2 * 2 * 6 * 4 + 24 * 10
    with torch.no_grad():
        model[0].weight[:2] = 0  # two of four filters: half of the first term
        model[7].weight[:, :5] = 0
    for batch in (1, 3):
        size = measure.size(model, torch.rand(batch, 1, 8, 8))
        assert size.macs == by_hand
        assert size.nonzero_macs == by_hand - 8 * 8 * 2 * 9 - 5 * 10
        assert size.prunable == 36 + 36 + 24 + 240
        assert size.nonzero_prunable == size.prunable - 18 - 50
        assert size.parameters == size.prunable + 4 + 4 + 6 + 10 + 8
        assert size.nonzero_parameters == sum(int(p.count_nonzero()) for p in model.parameters())
    assert model.training
    assert not any(m._forward_hooks for m in model.modules())


def test_masks_leave_macs_and_removal_lowers_them(case, generator):
    dense = measure.size(case.model, case.x)
    zeroed, smaller = (
        prune(case.model, methods()[name].recipe, 0.5, example_input=case.x, generator=generator)
        for name in ("global-magnitude", "filter-l2")
    )
    assert dense.nonzero_macs == dense.macs
    masked = measure.size(zeroed.model, case.x)
    assert (masked.macs, masked.parameters) == (dense.macs, dense.parameters)
    assert masked.nonzero_macs < masked.macs
    removed = measure.size(smaller.model, case.x)
    assert removed.macs == removed.nonzero_macs < dense.macs
    assert removed.parameters < dense.parameters


def test_latency_tells_a_large_model_from_a_small_one():
    models = {
        "small": nn.Linear(64, 8),
        "large": nn.Sequential(
            nn.Linear(64, 2048), nn.ReLU(), nn.Linear(2048, 2048), nn.Linear(2048, 8)
        ).train(),
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        timed = measure.latency(models, torch.rand(4, 64), rounds=20, warm_up=3)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert list(timed) == ["small", "large"]
    for figure in timed.values():
        assert 0 < figure.low_ms <= figure.median_ms <= figure.high_ms
        assert figure.n == 20
    assert timed["small"].high_ms < timed["large"].low_ms
    assert models["large"].training


def test_latency_runs_the_models_in_turn_and_each_first_as_often():
    calls: list[str] = []

    class Named(nn.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert torch.is_inference_mode_enabled()
            assert torch.get_num_threads() == 1
            calls.append(self.name)
            return x

    measure.latency({name: Named(name) for name in "abc"}, torch.zeros(1), rounds=9, warm_up=0)
    turns = [calls[i : i + 3] for i in range(0, 27, 3)]
    assert all(sorted(turn) == ["a", "b", "c"] for turn in turns)
    assert sorted(turn[0] for turn in turns) == sorted("abc" * 3)


def test_too_few_rounds_are_refused():
    with pytest.raises(ValueError, match="at least 6 rounds"):
        measure.latency({"a": nn.Linear(1, 1)}, torch.zeros(1, 1), rounds=5)


@pytest.mark.parametrize(("n", "rank"), [(6, 1), (8, 1), (9, 2), (20, 6), (50, 18), (100, 40)])
def test_the_interval_of_the_median_is_the_textbooks(n, rank):
    """Ranks as in the tables of the sign test (Conover 1999): r for n at the two-sided 5% level."""
    figure = _median([float(i) for i in range(1, n + 1)])
    assert (figure.low_ms, figure.high_ms) == (rank, n + 1 - rank)
    assert figure.median_ms == (n + 1) / 2


def test_layer_sparsity_is_a_share_of_the_dense_layer(cnn, generator):
    dense = {name: layer.weight.numel() for name, layer in prunable.layers(cnn.model).items()}
    assert set(measure.layer_sparsity(cnn.model, dense).values()) == {0.0}
    zeroed, smaller = (
        prune(cnn.model, methods()[name].recipe, 0.6, example_input=cnn.x, generator=generator)
        for name in ("global-magnitude", "filter-l2")
    )
    shares = measure.layer_sparsity(zeroed.model, dense)
    for name, mask in zeroed.masks.items():
        assert shares[name.removesuffix(".weight")] == pytest.approx(1 - float(mask.float().mean()))
    for found, pruned in ((shares, zeroed), (measure.layer_sparsity(smaller.model, dense), smaller)):
        gone = sum(found[name] * n for name, n in dense.items())
        assert gone / sum(dense.values()) == pytest.approx(pruned.achieved)
    assert list(measure.layer_sparsity(cnn.model, {"4": 10**6})) == ["4"]


def test_a_model_with_nothing_to_prune_is_measured_all_the_same():
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4))
    size = measure.size(model, torch.zeros(2, 4))
    assert (size.prunable, size.parameters) == (0, 8)
    assert prunable.told(model) == []
