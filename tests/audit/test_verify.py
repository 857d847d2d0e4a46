"""A model file held against its manifest: any flipped bit is found, and said where."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from typer.testing import CliRunner, Result

from audit import manifest
from audit.cli import app
from audit.errors import AuditError, PlanError, RefusedError
from pruning import storage

Execute = Callable[..., Any]


def prune_audit(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        net[0].weight[0] = 0.0
    storage.save(net, path)
    return path


def test_the_same_file_is_the_same(model: Path) -> None:
    written = prune_audit("manifest", model)
    assert written.exit_code == 0, written.output
    result = prune_audit("verify", model, manifest.beside(model))
    assert (result.exit_code, "3 tensors, bit for bit" in result.output) == (0, True)
    again = model.with_name("again.json")
    manifest.write(model, again)
    assert again.read_bytes() == manifest.beside(model).read_bytes()


def test_every_single_flipped_bit_is_found_and_those_of_tensors_are_named(model: Path) -> None:
    known, whole = manifest.of(model), model.read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    places = {
        k: v["data_offsets"] for k, v in json.loads(whole[8 : 8 + length]).items() if k != "__metadata__"
    }
    for place in range(len(whole)):
        for bit in range(8):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << bit
            model.write_bytes(flipped)
            try:
                found = manifest.differences(model, known)
            except RefusedError:
                assert place < 8 + length  # the header does not read any more
                continue
            assert found, (place, bit)
            if place >= 8 + length:
                at = place - 8 - length
                (name,) = [k for k, (low, high) in places.items() if low <= at < high]
                assert len(found) == 1
                assert found[0].startswith(f"{name} differs")
    model.write_bytes(whole)
    assert manifest.differences(model, known) == []


def test_a_filled_zero_shows_in_the_mask_and_another_value_does_not(model: Path) -> None:
    known, tensors = manifest.of(model), load_file(model)
    assert known.tensors["0.weight"].nonzero == 3
    with torch.no_grad():
        tensors["0.weight"][0, 1] = 1e-9
    storage.save_state(tensors, model)
    assert "0.weight differs, its mask too: 4 values are not zero, not 3" in manifest.differences(
        model, known
    )
    with torch.no_grad():
        tensors["0.weight"][0, 1] = 0.0
        tensors["0.weight"][1, 1] += 1.0
    storage.save_state(tensors, model)
    assert manifest.differences(model, known) == ["0.weight differs in its values; its mask is the same"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("0.bias"), "0.bias is missing"),
        (lambda t: t.update(extra=torch.ones(2)), "extra is not in the manifest"),
        (
            lambda t: t.update({"0.bias": torch.zeros(5)}),
            "0.bias is float32 (5,), and float32 (2,) in the manifest",
        ),
        (lambda t: t.update({"0.bias": t["0.bias"].half()}), "0.bias is float16 (2,)"),
    ],
)
def test_missing_and_further_tensors_are_said(model: Path, change: Callable[[Any], Any], said: str) -> None:
    prune_audit("manifest", model)
    tensors = load_file(model)
    change(tensors)
    save_file(tensors, model)
    result = prune_audit("verify", model, manifest.beside(model))
    assert result.exit_code == 1
    assert said in result.output
    assert "DIFFERS" in result.output


def test_another_models_manifest_is_said_to_be_one(model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    storage.save(nn.Conv2d(1, 1, 3), other)
    prune_audit("manifest", other)
    result = prune_audit("verify", model, manifest.beside(other))
    assert result.exit_code == 1
    assert "the manifest is of another model: none of its 2 tensors is in the file" in result.output


def test_a_file_written_anew_is_told_from_one_that_was_changed(model: Path) -> None:
    known = manifest.of(model)
    save_file(load_file(model), model, {"format": "pt"})
    assert any("metadata" in line for line in manifest.differences(model, known))
    storage.save(nn.Linear(1, 1), model)
    assert "another model" in manifest.differences(model, known)[0]


def test_compressed_files_and_odd_types_have_manifests(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    net = nn.Linear(64, 64)
    with torch.no_grad():
        net.weight[torch.rand(64, 64) < 0.9] = 0.0
    storage.save(net, path, compressed=True)
    assert manifest.differences(path, manifest.of(path)) == []
    odd = {
        "half": torch.ones(3, dtype=torch.bfloat16), "bits": torch.tensor([True, False]),
        "one": torch.tensor(3.0), "none": torch.zeros(0, 4),
        "small": torch.ones(2, dtype=torch.float8_e4m3fn),
        "whole": torch.tensor([0, 5]),
    }  # fmt: skip
    save_file(odd, path)
    known = manifest.of(path)
    assert {name: entry.nonzero for name, entry in known.tensors.items()} == {
        "half": 3, "bits": 1, "one": 1, "none": 0, "small": 2, "whole": 1,
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"prune_audit_manifest": 2}', "\x00", '{"tensors": 3}'])
def test_what_is_no_manifest_is_a_usage_error(model: Path, tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.json"
    path.write_text(text)
    with pytest.raises(PlanError, match="is not a manifest of prune-audit"):
        manifest.read(path)
    with pytest.raises(PlanError, match="no such manifest"):
        manifest.read(tmp_path / "absent.json")
    with pytest.raises(PlanError, match="cannot be read"):
        manifest.read(tmp_path)


def test_a_model_that_cannot_be_read_is_refused(model: Path, tmp_path: Path) -> None:
    known = manifest.of(model)
    bad = tmp_path / "bad.pt"
    for content in (b"", b"cos\nsystem\n", model.read_bytes()[:-3]):
        bad.write_bytes(content)
        with pytest.raises(
            RefusedError, match=r"bad\.pt: is not a safetensors file, or its header is damaged"
        ):
            manifest.differences(bad, known)
    for absent in (tmp_path / "absent", tmp_path):
        with pytest.raises(AuditError, match="no such file") as error:
            manifest.of(absent)
        assert error.value.exit_code == 5


def test_a_manifest_is_not_written_over(model: Path) -> None:
    assert prune_audit("manifest", model).exit_code == 0
    before = manifest.beside(model).read_bytes()
    result = prune_audit("manifest", model)
    assert isinstance(result.exception, PlanError)
    assert manifest.beside(model).read_bytes() == before


def test_every_model_of_a_run_has_its_manifest(reference: Path) -> None:
    models = sorted((reference / "out" / "models").glob("*.safetensors"))
    assert models
    for path in models:
        assert manifest.differences(path, manifest.read(manifest.beside(path))) == []
