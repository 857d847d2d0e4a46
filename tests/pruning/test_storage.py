import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from pruning.errors import PruningError
from pruning.methods import methods
from pruning.prune import prune
from pruning.storage import load, read, same, save


@pytest.mark.parametrize("method", ["global-magnitude", "filter-l2"])
@pytest.mark.parametrize("training", [True, False])
def test_round_trip_is_exact(case, generator, tmp_path, method, training):
    case.model.train(training)
    pruned = prune(case.model, methods()[method].recipe, 0.5, example_input=case.x, generator=generator)
    path = tmp_path / "deep" / "model.safetensors"
    save(pruned.model, path, pruned.history)
    assert [p.name for p in path.parent.iterdir()] == ["model.safetensors"]
    random_state = torch.get_rng_state()
    loaded = load(path, case.build, case.x)
    assert torch.equal(torch.get_rng_state(), random_state)
    state = loaded.state_dict()
    assert list(state) == list(pruned.model.state_dict())
    for name, tensor in pruned.model.state_dict().items():
        assert state[name].dtype == tensor.dtype
        assert torch.equal(state[name], tensor)
    assert torch.equal(loaded.eval()(case.x), pruned.model.eval()(case.x))


def test_special_values_keep_their_bits(tmp_path):
    model = nn.Linear(2, 2, bias=False)
    bits = torch.tensor([[-(2**31), 0x7FC01234], [1, 0x7F800000]], dtype=torch.int32)  # -0.0, a NaN, denormal
    model.weight.data = bits.view(torch.float32).T  # not contiguous either
    save(model, tmp_path / "m.safetensors")
    loaded = load(tmp_path / "m.safetensors", lambda: nn.Linear(2, 2, bias=False), torch.zeros(1, 2))
    assert torch.equal(loaded.weight.data.view(torch.int32), bits.T)


def test_tied_weights_are_written_once_and_stay_tied(tmp_path):
    def build() -> nn.Module:
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        model[1].weight = model[0].weight
        return model

    model, path = build(), tmp_path / "m.safetensors"
    save(model, path)
    with safe_open(path, "pt") as file:
        assert set(file.keys()) == {"0.weight", "0.bias", "1.bias"}
    loaded = load(path, build, torch.zeros(1, 3))
    assert loaded[1].weight is loaded[0].weight
    assert torch.equal(loaded[0].weight, model[0].weight)


def test_a_plain_safetensors_file_is_read(cnn, tmp_path):
    save_file(cnn.model.state_dict(), tmp_path / "plain.safetensors")
    loaded = load(tmp_path / "plain.safetensors", cnn.build, cnn.x)
    assert torch.equal(loaded.eval()(cnn.x), cnn.model(cnn.x))


def test_a_failed_write_leaves_the_earlier_file(cnn, tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    save(cnn.model, path)
    before = path.read_bytes()

    def broken(tensors: object, file: object, metadata: object) -> None:
        Path(str(file)).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("pruning.storage.save_file", broken)
    with pytest.raises(OSError, match="disk full"):
        save(cnn.model, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_damaged_and_foreign_files_are_refused(cnn, tmp_path):
    path = tmp_path / "m.safetensors"
    with pytest.raises(PruningError, match="does not exist"):
        load(path, cnn.build, cnn.x)
    save(cnn.model, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(PruningError, match="not a safetensors file, or damaged"):
        load(path, cnn.build, cnn.x)
    for content in (b"", b"hello", pickle.dumps({"0.weight": [1]})):
        path.write_bytes(content)
        with pytest.raises(PruningError, match="not a safetensors file, or damaged"):
            load(path, cnn.build, cnn.x)


@pytest.mark.parametrize(
    "history", ["{", '[{"layer": "0"}]', '[{"layer": 0, "direction": "out", "indices": []}]']
)
def test_damaged_metadata_is_refused(cnn, tmp_path, history):
    path = tmp_path / "m.safetensors"
    save_file(cnn.model.state_dict(), path, {"prune_audit.history": history})
    with pytest.raises(PruningError, match="metadata is damaged"):
        load(path, cnn.build, cnn.x)
    save_file(cnn.model.state_dict(), path, {"prune_audit.aliases": json.dumps({"a": "nowhere"})})
    with pytest.raises(PruningError, match="metadata is damaged"):
        load(path, cnn.build, cnn.x)


def test_what_does_not_fit_the_model_is_named(cnn, generator, tmp_path):
    path = tmp_path / "m.safetensors"
    state = cnn.model.state_dict()
    save_file({name: t for name, t in state.items() if name != "0.bias"}, path)
    with pytest.raises(PruningError, match=r"m\.safetensors does not fit the model: no 0\.bias"):
        load(path, cnn.build, cnn.x)
    save_file(state | {"extra": torch.zeros(1)}, path)
    with pytest.raises(PruningError, match="extra is not part of the model"):
        load(path, cnn.build, cnn.x)
    save_file(state | {"0.bias": torch.zeros(3)}, path)
    with pytest.raises(PruningError, match=r"0\.bias is .*\(3,\).*the model's is .*\(16,\)"):
        load(path, cnn.build, cnn.x)
    save_file(state | {"0.bias": state["0.bias"].double()}, path)
    with pytest.raises(PruningError, match=r"0\.bias is .*float64"):
        load(path, cnn.build, cnn.x)
    pruned = prune(cnn.model, methods()["filter-l2"].recipe, 0.5, example_input=cnn.x, generator=generator)
    save(pruned.model, path, pruned.history)
    with pytest.raises(PruningError, match=r"m\.safetensors does not fit the model: the history names 0"):
        load(path, lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), cnn.x)


def test_the_same_model_makes_the_same_bytes(cnn, generator, tmp_path):
    """safetensors itself writes its metadata in an order of its own each time."""
    pruned = prune(cnn.model, methods()["filter-l2"].recipe, 0.5, example_input=cnn.x, generator=generator)
    written = set()
    for i in range(12):
        save(pruned.model, tmp_path / f"{i}.safetensors", pruned.history, compressed=True)
        written.add((tmp_path / f"{i}.safetensors").read_bytes())
    assert len(written) == 1
    plain = set()
    for i in range(12):
        save_file({"a": torch.zeros(1)}, tmp_path / f"{i}.plain", {k: k for k in "abcdef"})
        plain.add((tmp_path / f"{i}.plain").read_bytes())
    assert len(plain) > 1


def test_names_in_every_alphabet_survive(tmp_path):
    model = nn.ModuleDict({"слой": nn.Linear(2, 2), 'a"b\\c\n': nn.Linear(2, 2), "💧\x7f": nn.Linear(2, 2)})
    save(model, tmp_path / "m.safetensors")
    assert same(read(tmp_path / "m.safetensors")[1], model.state_dict())
