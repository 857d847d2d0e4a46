"""Checkpoints as people have them: each is read for what it is, told, or refused with what to do."""

import copy
import sys
import types
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
import torch_pruning
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import prune
from typer.testing import CliRunner

from audit import zoo
from audit.cli import app
from audit.errors import PlanError, RefusedError
from audit.plan import Plan, load
from audit.preflight import preflight
from audit.subject import models
from audit.subject.data import Data
from audit.subject.data import load as load_data
from pruning import prunable, storage

Write = Callable[[dict[str, Any]], Path]
Restore = Callable[..., models.Restored]
X = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    path = tmp_path_factory.mktemp("data") / "plan.toml"
    path.write_text('[model]\nbuild = "audit.zoo:digits_cnn"\n[data]\nsource = "digits"\n[train]\n')
    return load_data(load(path))


@pytest.fixture
def restore(tmp_path: Path, data: Data) -> Restore:
    """What a file named ``weights.SUFFIX`` restores to, under a plan for the digits CNN."""

    def found(
        content: object, suffix: str = "pt", build: object = zoo.digits_cnn, **keys: str
    ) -> models.Restored:
        path = tmp_path / f"weights.{suffix}"
        save_file(content, path) if suffix == "safetensors" else torch.save(content, path)
        table = {"model": {"build": "audit.zoo:digits_cnn", "weights": {"file": path.name, **keys}}}
        plan = Plan.model_validate({**table, "data": {"source": "digits"}, "folder": tmp_path})
        assert plan.model.weights is not None
        return models.restore(plan.model.weights, plan, build, data)

    return found


def net(seed: int = 3) -> nn.Module:
    return models.fresh(zoo.digits_cnn, seed).eval()


def same(found: models.Restored, wanted: nn.Module) -> bool:
    return all(torch.equal(v, wanted.state_dict()[k]) for k, v in found.model.state_dict().items())


def prefixed(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


# Wrapped and prefixed

STATE = net().state_dict()
OTHER = net(4).state_dict()

INSIDE = {name.replace(".", "._checkpoint_wrapped_module."): tensor for name, tensor in STATE.items()}
TRAINING = {"model_state_dict": STATE, "optimizer_state_dict": {"state": {0: {"exp_avg": torch.ones(2, 2)}}}}
LIGHTNING = {
    "state_dict": {**prefixed("model.", STATE), "criterion.weight": torch.ones(10)},
    "hyper_parameters": {"lr": 0.1},
    "pytorch-lightning_version": "2.5.0",
    "callbacks": {"best": {"best_model_score": torch.tensor(0.5)}},
}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (STATE, ""),
        (prefixed("module.", STATE), "'module.' taken off"),
        (prefixed("model.", STATE), "'model.' taken off"),
        (prefixed("_orig_mod.", STATE), "wrappers"),
        (prefixed("_orig_mod.module.", STATE), "'module.' taken off"),
        (prefixed("module._orig_mod.backbone.", STATE), "'module.backbone.' taken off"),
        (INSIDE, "wrap"),
        ({"state_dict": STATE, "epoch": 3}, "its 'state_dict' was taken"),
        (TRAINING, "its 'model_state_dict' was taken"),
        ({"model": STATE, "acc": torch.tensor(0.9), "args": {"lr": 0.1}}, "its 'model' was taken"),
        ({"state_dict": STATE, "ema_state": OTHER}, "not its 'ema_state' (key = …"),
        ({"ema": {"module": OTHER}, "model": STATE}, "its 'model' was taken; not its 'ema.module'"),
        ({"model_ema": STATE}, "its 'model_ema' was taken"),
        ({**STATE, "epoch": 3}, ""),
        ({"n_averaged": torch.tensor(5), **prefixed("module.", STATE)}, "averaged weights"),
        (LIGHTNING, "'model.' taken off its names, 1 others left out"),
    ],
)  # fmt: skip
def test_wrappers_come_off_and_are_told(restore: Restore, content: dict[str, Any], told: str) -> None:
    found = restore(content, "ckpt")
    assert same(found, net())
    assert told in "; ".join(found.told)
    assert bool(told) == bool(found.told)


def test_key_and_prefix_choose(restore: Restore) -> None:
    both = {"state_dict": STATE, "state_dict_ema": OTHER}
    assert same(restore(both, key="state_dict_ema"), net(4))
    pair = {**prefixed("student.", STATE), **prefixed("teacher.", OTHER)}
    assert same(restore(pair, strip_prefix="student."), net())
    assert same(restore(pair, strip_prefix="teacher."), net(4))
    assert same(restore({"ema": {"shadow": OTHER}, "raw": STATE}, key="ema.shadow"), net(4))


@pytest.mark.parametrize(
    ("content", "keys", "said"),
    [
        ({"a": STATE, "b": OTHER}, {}, "several state dicts; choose one by .*key = ….*'a', 'b'"),
        ({"a": STATE}, {"key": "c"}, "no state dict under the key 'c'; there are 'a'"),
        (STATE, {"strip_prefix": "net."}, "no name begins with strip_prefix 'net.'; the first are 0.weight"),
        ({**prefixed("student.", STATE), **prefixed("teacher.", OTHER)}, {},
         "several models that fit: add strip_prefix = 'student.' or strip_prefix = 'teacher.'"),
        (prefixed("net.body.", {"x.weight": torch.ones(2, 2), "y": torch.ones(2)}), {},
         "missing .*; all its names begin with 'net.body.'"),
        ({"a": 1, "b": "no tensor"}, {}, "is not a state dict"),
        ([1, 2], {}, "is not a state dict"),
        ({**STATE, "0._orig_mod.weight": STATE["0.weight"]}, {}, "hold two models"),
    ],
)  # fmt: skip
def test_what_cannot_be_chosen_is_said_with_the_remedy(
    restore: Restore, content: object, keys: dict[str, str], said: str
) -> None:
    with pytest.raises(RefusedError, match=r"\[model\] weights: .*weights.pt: .*" + said) as refused:
        restore(content, **keys)
    assert "\x1b" not in str(refused.value)


def test_a_model_with_a_name_around_it_takes_bare_weights(restore: Restore) -> None:
    def build() -> nn.Module:
        return nn.ModuleDict({"backbone": zoo.digits_cnn()})

    found = restore(STATE, build=build)
    assert all(
        torch.equal(v, STATE[k.removeprefix("backbone.")]) for k, v in found.model.state_dict().items()
    )
    assert "'backbone.' put before" in "; ".join(found.told)


# Other pruning tools


def torch_pruned(*, remove: bool) -> nn.Module:
    """Half of a net's weights, pruned by torch's own pruner."""
    model = net()
    layers = [(layer, "weight") for layer in prunable.layers(model).values()]
    prune.global_unstructured(layers, pruning_method=prune.L1Unstructured, amount=0.5)
    prune.ln_structured(model[0], "weight", 0.25, n=2, dim=0)
    if remove:
        for layer, name in layers:
            prune.remove(layer, name)
    return model


def negative_zeros(state: dict[str, Tensor]) -> int:
    return sum(int(((t == 0) & t.signbit()).sum()) for t in state.values())


@pytest.mark.parametrize("remove", [True, False])
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_torch_s_own_pruner(restore: Restore, tmp_path: Path, remove: bool, suffix: str) -> None:
    model, plain = torch_pruned(remove=remove), torch_pruned(remove=True)
    assert negative_zeros(plain.state_dict()) > 1000  # what the pruner leaves
    found = restore(model.state_dict(), suffix)
    assert same(found, plain)
    assert negative_zeros(found.model.state_dict()) == 0
    assert ("4 masks of torch.nn.utils.prune folded in" in found.told) == (not remove)
    assert torch.equal(found.model.eval()(X), plain.eval()(X))
    storage.save(found.model, tmp_path / "a.safetensors", compressed=True)
    storage.save(plain, tmp_path / "b.safetensors", compressed=True)
    assert (tmp_path / "a.safetensors").stat().st_size == (tmp_path / "b.safetensors").stat().st_size
    values = sum(p.numel() for p in plain.parameters())
    assert (tmp_path / "b.safetensors").stat().st_size < 0.65 * 4 * values


def test_a_builder_that_leaves_masks_on_is_an_ordinary_model(
    tmp_path: Path, write_plan: Write, tiny: dict[str, Any]
) -> None:
    """With masks kept, such a model was counted as 100% sparse."""
    (tmp_path / "masked.py").write_text(
        "import torch\nfrom torch.nn.utils import prune\nfrom audit import zoo\n"
        "def build():\n    model = zoo.digits_cnn()\n"
        "    prune.random_unstructured(model[0], 'weight', 0.5)\n    return model\n"
    )
    tiny["model"] = {"build": "masked.py:build", "weights": "w.pt"}
    del tiny["pruning"], tiny["data"]["train_examples"]
    torch.save(torch_pruned(remove=False).state_dict(), tmp_path / "w.pt")
    subject = preflight(load(write_plan(tiny)))
    assert subject.prunable == 21_456
    assert "of the prunable weights are zero or gone (0 " in subject.weights["dense"]
    build = models.builder(subject.plan, subject.data)
    assert build().state_dict().keys() == STATE.keys()


def torch_pruning_s(model: nn.Module, *, ratio: float = 0.5, **options: Any) -> tuple[nn.Module, list[Any]]:
    smaller = copy.deepcopy(model)
    head = list(prunable.layers(smaller).values())[-1]
    pruner = torch_pruning.pruner.MagnitudePruner(
        smaller, X, torch_pruning.importance.MagnitudeImportance(p=2), pruning_ratio=ratio,
        ignored_layers=[head], **options,
    )  # fmt: skip
    pruner.step()
    return smaller.eval(), pruner.pruning_history()


@pytest.mark.parametrize("history", [True, False])
@pytest.mark.parametrize("ratio", [0.3, 0.5])
def test_torch_pruning_s_smaller_nets(
    restore: Restore, tmp_path: Path, data: Data, history: bool, ratio: float
) -> None:
    smaller, steps = torch_pruning_s(net(), ratio=ratio)
    state = smaller.state_dict()
    found = restore({"model": state, "pruning": steps} if history else state)
    assert torch.equal(found.model.eval()(X), smaller(X))
    assert ("torch-pruning's history" if history else "inferred from its shapes") in "; ".join(found.told)
    storage.save(found.model, tmp_path / "kept.safetensors", found.history)  # as a run keeps it
    kept = storage.load(tmp_path / "kept.safetensors", zoo.digits_cnn, X[:1])
    assert torch.equal(kept.eval()(X), smaller(X))


def test_a_residual_net_s_widths_are_inferred(restore: Restore) -> None:
    def build() -> nn.Module:
        return zoo.small_resnet((1, 8, 8), 10)

    dense = models.fresh(build, 1).eval()
    smaller, _ = torch_pruning_s(dense, global_pruning=True)
    found = restore(smaller.state_dict(), build=build)
    assert torch.equal(found.model.eval()(X), smaller(X))
    assert len(found.history) < len(prunable.layers(dense))


def test_shapes_that_no_removal_reaches_are_named(restore: Restore) -> None:
    smaller, steps = torch_pruning_s(net())
    state = dict(smaller.state_dict())
    state["2.weight"] = state["2.weight"][:, :-1]
    with pytest.raises(RefusedError, match=r"cannot be made as narrow: 2.weight is .*give a build"):
        restore(state)
    with pytest.raises(RefusedError, match=r"2.weight is \(16, 7, 3, 3\), want"):
        restore({"model": state, "pruning": steps})
    with pytest.raises(RefusedError, match="no prunable layer of this model"):
        restore({"model": smaller.state_dict(), "pruning": [("nowhere", True, [0])]})
    wider = {**STATE, "0.bias": torch.zeros(17)}
    with pytest.raises(RefusedError, match=r"0.bias is \(17,\), want \(16,\)"):
        restore(wider)


@pytest.mark.parametrize("layout", ["coo", "csr"])
def test_sparse_tensors(restore: Restore, layout: str) -> None:
    plain = torch_pruned(remove=True).state_dict()
    matrices = {n for n, t in plain.items() if t.dim() == 2}
    with pytest.warns(UserWarning, match="beta") if layout == "csr" else nullcontext():
        state = {
            n: (t.to_sparse() if layout == "coo" else t.to_sparse_csr()) if n in matrices else t
            for n, t in plain.items()
        }
    found = restore(state)
    assert all(torch.equal(v, plain[k]) for k, v in found.model.state_dict().items())


def bitmask(weight: Tensor) -> dict[str, Tensor]:
    """The format's parts, made value by value from its description."""
    values, rows, offsets = [], [], []
    for row in weight.reshape(-1, weight.shape[-1]).tolist():
        offsets.append(len(values))
        octets = [0] * -(-len(row) // 8)
        for i, value in enumerate(row):
            if value:
                octets[i // 8] |= 1 << (i % 8)
                values.append(value)
        rows.append(octets)
    return {
        "shape": torch.tensor(weight.shape), "compressed": torch.tensor(values),
        "bitmask": torch.tensor(rows, dtype=torch.uint8), "row_offsets": torch.tensor(offsets),
    }  # fmt: skip


def test_compressed_tensors_bit_masks(restore: Restore) -> None:
    plain = torch_pruned(remove=True).state_dict()
    state = {n: t for n, t in plain.items() if t.dim() < 2}
    for name in plain.keys() - state.keys():
        state |= prefixed(name.removesuffix("weight"), bitmask(plain[name]))
    found = restore(state, "safetensors")
    assert all(torch.equal(v, plain[k]) for k, v in found.model.state_dict().items())
    assert "4 weights unpacked" in "; ".join(found.told)
    for part, wrong in {
        "bitmask": torch.zeros(3, dtype=torch.uint8),
        "compressed": torch.zeros(3),
        "shape": torch.tensor([2**40, 2**40]),
    }.items():
        with pytest.raises(RefusedError, match=r"weights.safetensors: 8: "):
            restore(state | {f"8.{part}": wrong}, "safetensors")


def test_half_precision_is_told(restore: Restore) -> None:
    found = restore({n: t.half() for n, t in STATE.items()})
    assert found.told == ("kept as float16, run as float32",)
    assert all(torch.equal(v, STATE[k].half().float()) for k, v in found.model.state_dict().items())


# Hostile, damaged and unreadable


class Canary:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("open('BOOM', 'w').close()",))


def test_nothing_of_a_file_runs_and_the_three_lines_convert_it(
    restore: Restore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for content in (Canary(), {"model": STATE, "x": Canary()}, {"state_dict": STATE, "optimizer": Canary()}):
        with pytest.raises(RefusedError, match=r"it would call exec"):
            restore(content)
    assert not (tmp_path / "BOOM").exists()
    whole = {"whole": net(), "lightning": {"state_dict": STATE, "hyper_parameters": _Namespace()}}
    monkeypatch.setitem(sys.modules, "elsewhere", types.SimpleNamespace(_Namespace=_Namespace))
    for name, content in whole.items():
        with pytest.raises(RefusedError) as refused:
            restore(content)
        said = str(refused.value)
        assert "still" not in said.partition("import torch")[0], name
        lines = [line.strip() for line in said.splitlines()[1:]]
        assert len(lines) == 3
        exec("\n".join(lines))  # as a user would
        converted = torch.load(tmp_path / "weights-state.pt", weights_only=True)
        assert same(restore(converted), net())


def test_the_lines_that_convert_a_file_can_be_copied_from_the_terminal(
    tmp_path: Path, write_plan: Write, tiny: dict[str, Any]
) -> None:
    torch.save(net(), tmp_path / "whole.pt")
    tiny["model"]["weights"] = "whole.pt"
    del tiny["pruning"], tiny["data"]["train_examples"]
    result = CliRunner().invoke(app, ["preflight", str(write_plan(tiny))])
    assert isinstance(result.exception, RefusedError)
    first, *code = str(result.exception).splitlines()
    assert "plan.toml: [model] weights: " in first
    assert [line.split()[0] for line in code] == ["import", "old", "torch.save(old.state_dict()"]


class _Namespace:
    """As argparse's: a class that weights_only does not know."""


_Namespace.__module__ = "elsewhere"
_Namespace.__qualname__ = "_Namespace"


def test_tensors_that_are_not_there_are_refused(restore: Restore) -> None:
    huge = torch.zeros(1).expand(2**40)
    with warnings.catch_warnings():  # torch says once in a process that this is deprecated
        warnings.simplefilter("ignore", UserWarning)
        quantised = torch.quantize_per_tensor(torch.zeros(16), 0.1, 0, torch.qint8)
    for value, said in (
        (huge, "claims more values"),
        (torch.zeros(16, device="meta"), "has no values"),
        (quantised, "is quantised"),
        (sparse_at(0, (2**40,)), r"0.bias is \("),
        (sparse_at(2**30, (16,)), "damaged .*(invariant|size is inconsistent)"),
    ):
        with pytest.raises(RefusedError, match=said):
            restore({**STATE, "0.bias": value})
    masked = {n: t for n, t in STATE.items() if n != "0.weight"}
    masked |= {"0.weight_orig": STATE["0.weight"], "0.weight_mask": torch.ones(2)}
    with pytest.raises(RefusedError, match="is no mask of 0.weight_orig"):
        restore(masked)


def sparse_at(place: int, shape: tuple[int, ...]) -> Tensor:
    """A vector of one value, which may claim to stand outside of it."""
    at = torch.full((1, 1), place)
    return torch.sparse_coo_tensor(at, torch.ones(1), shape, check_invariants=False)


def test_convert_writes_what_preflight_reads(
    tmp_path: Path, write_plan: Write, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    smaller, steps = torch_pruning_s(net())
    state = smaller.state_dict()
    state["8.weight_mask"] = (torch.rand(10, 16) > 0.5).float()
    state["8.weight_orig"] = state.pop("8.weight").to_sparse().to_dense()
    there = [(f"module.{layer}", *step) for layer, *step in steps]
    torch.save({"state_dict": prefixed("module.", state), "pruning": there}, tmp_path / "old.ckpt")
    old, new = str(tmp_path / "old.ckpt"), str(tmp_path / "new.safetensors")
    done = CliRunner().invoke(app, ["convert", old, new, "--strip-prefix", "module."])
    assert done.exit_code == 0, done.output
    assert "1 masks of torch.nn.utils.prune folded in" in done.output
    tiny["model"]["weights"] = "new.safetensors"
    del tiny["pruning"], tiny["data"]["train_examples"]
    subject = preflight(load(write_plan(tiny)))
    assert "of the prunable weights are zero or gone" in subject.weights["dense"]
    for arguments, error, said in (
        ([old, new], PlanError, "new.safetensors: exists already"),
        ([old, str(tmp_path / "new.pt")], PlanError, "is not named .safetensors"),
        ([str(tmp_path / "no.pt"), str(tmp_path / "b.safetensors")], RefusedError, "no such file"),
        ([old, str(tmp_path / "b.safetensors"), "--key", "x"], RefusedError, "there are 'state_dict'"),
    ):
        again = CliRunner().invoke(app, ["convert", *arguments])
        assert isinstance(again.exception, error)
        assert said in str(again.exception)
