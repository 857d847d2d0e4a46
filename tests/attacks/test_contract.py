"""What every probe promises."""

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import BaseModel
from torch import nn

from attacks.probe import Measurement, Probe, Target
from attacks.registry import probes

QUICK: dict[str, dict[str, object]] = {
    "evasion": {
        "level": "thorough",
        "eps": {"linf": (0.1,), "l2": (0.6,)},
        "norms": ("linf", "l2"),
        "steps": 6,
        "restarts": 2,
        "queries": 12,
        "apgd_steps": 6,
        "targets": 2,
        "fmn_steps": 6,
        "transfer": False,
    },
    "membership": {
        "level": "quick",
        "attacks": ("art_black_box", "augmented", "ensemble", "loss", "quantile", "samia"),
        "fpr": 0.02,
    },
    "extraction": {
        "queries": (60, 120),
        "epochs": 1,
        "min_steps": 12,
        "reach": 0.01,
        "eps": 0.3,
        "replicates": 2,
        "also": ("rounded",),
    },
    "tampering": {
        "attacks": ("bit_flip", "progressive", "targeted", "weight_change", "stealth"),
        "draws": 3,
        "replicates": 1,
        "steps": 2,
        "where": ("mask",),
        "storage": ("int8",),
        "flips": 20,
    },
}

OPEN = ("extraction_queries", "tampering_flips", "tampering_flips_per_million", "tampering_change")

everyone = pytest.mark.parametrize("probe", probes().values(), ids=list(probes()))


def settings(probe: Probe) -> BaseModel:
    return probe.settings(**QUICK.get(probe.name, {}))


def measure(probe: Probe, target: Target, seed: int = 0) -> Sequence[Measurement]:
    return probe.run(target, settings(probe), torch.Generator().manual_seed(seed))


def same(a: Sequence[Measurement], b: Sequence[Measurement]) -> None:
    """Equal in every figure, condition, note and per-example outcome."""
    assert [replace(row, outcomes=None) for row in a] == [replace(row, outcomes=None) for row in b]
    for left, right in zip(a, b, strict=True):
        for name, values in (left.outcomes or {}).items():
            assert np.array_equal(values, right.outcomes[name]), (left.metric, left.at, name)


@pytest.fixture(scope="module")
def first(target: Target) -> dict[str, Sequence[Measurement]]:
    return {name: measure(probe, target) for name, probe in probes().items()}


@everyone
def test_same_seed_same_rows(probe: Probe, target: Target, first: dict[str, Sequence[Measurement]]):
    torch.rand(7)
    np.random.rand(7)
    same(first[probe.name], measure(probe, target))


@everyone
def test_batch_size_changes_nothing(probe: Probe, target: Target, first: dict[str, Sequence[Measurement]]):
    for size in (50, 1000):
        same(first[probe.name], measure(probe, replace(target, batch_size=size)))


@everyone
def test_model_is_left_as_found(probe: Probe, target: Target):
    model = target.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    measure(probe, target)
    assert list(model.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert not any(p.requires_grad or p.grad is not None for p in model.parameters())
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    assert not any(getattr(module, hook) for module in model.modules() for hook in hooks)


@everyone
def test_global_generators_are_left_as_found(probe: Probe, target: Target):
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    measure(probe, target)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), before[1], strict=True))
    assert random.getstate() == before[2]


@everyone
def test_data_are_left_as_found(probe: Probe, target: Target):
    splits = [target.test, target.members, target.nonmembers, target.pool]
    before = [(split.x.clone(), split.y.clone()) for split in splits]
    measure(probe, target)
    for split, (x, y) in zip(splits, before, strict=True):
        assert torch.equal(split.x, x)
        assert torch.equal(split.y, y)


@everyone
def test_rows_are_whole(probe: Probe, first: dict[str, Sequence[Measurement]]):
    rows = first[probe.name]
    assert {row.metric for row in rows} <= set(probe.card.metrics)
    assert rows[0].metric == probe.card.metrics[0]
    keys = [(row.metric, tuple(sorted(row.at.items()))) for row in rows]
    assert len(set(keys)) == len(keys)
    for row in rows:
        assert row.status == "ok", row
        assert row.n > 0
        if row.metric == "tampering_filled":  # a count of weights, not of examples
            continue
        if row.high is None:  # more than any budget may be needed: an interval that is open above
            assert row.metric in OPEN
            assert "no upper end" in row.note
            assert row.low <= row.value
            continue
        assert row.low <= row.value <= row.high
        assert row.low >= (-1 if row.metric == "extraction_gain" else 0)  # which is a difference of shares
        assert row.high <= 1 or row.metric in ("adversarial_distance", *OPEN)  # no shares
        assert row.low < row.high or row.metric in OPEN  # counts of flips can agree
        assert row.outcomes
        member = row.outcomes.get("member")  # of membership the smaller side counts
        counts = (
            [len(next(iter(row.outcomes.values())))] if member is None else [member.sum(), (~member).sum()]
        )
        assert min(counts) == row.n
        assert all(isinstance(value, str | int | float) for value in row.at.values())


@everyone
def test_missing_data_are_rows_and_no_crash(probe: Probe, target: Target):
    bare = replace(target, members=None, nonmembers=None, pool=None, surrogate=None)
    rows = measure(probe, bare)
    assert {row.metric for row in rows} <= set(probe.card.metrics)
    assert rows[0].metric == probe.card.metrics[0]
    for row in rows:
        assert (row.status == "ok") == (row.value is not None)
        assert row.status in ("ok", "not_applicable")
        assert row.status == "ok" or row.note
    if probe.name in ("membership", "extraction"):
        assert {row.status for row in rows} == {"not_applicable"}


@everyone
def test_settings_are_frozen_and_described(probe: Probe):
    config = settings(probe)
    with pytest.raises(ValueError, match="Extra inputs"):
        probe.settings(no_such_key=1)
    for name, info in probe.settings.model_fields.items():
        assert info.description, name
        with pytest.raises(ValueError, match="frozen"):
            setattr(config, name, getattr(config, name))
    assert probe.settings(**config.model_dump()) == config


@everyone
def test_card_is_filled_in(probe: Probe):
    card = probe.card
    assert all((card.title, card.summary, card.threat_model, card.limits, card.metrics))
    assert probe.name == "accuracy" or (card.papers and len(card.ids) >= 3)


@everyone
def test_nan_in_the_model_is_an_error_and_no_figure(probe: Probe, target: Target):
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return target.model(x) * torch.nan

    with pytest.raises(ArithmeticError, match="NaN or infinite logits"):
        measure(probe, replace(target, model=Broken()))


@everyone
def test_another_number_of_logits_is_an_error(probe: Probe, target: Target):
    with pytest.raises(ValueError, match="10 logits for 11 classes"):
        measure(probe, replace(target, num_classes=11))
