"""Models of other libraries, from the folder as a user has it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from audit import hugging_face, starter
from audit.errors import PlanError, RefusedError
from audit.plan import load
from audit.preflight import preflight
from audit.subject import models, vision

RNG = np.random.default_rng(0)
PREPARE = {
    "do_normalize": True, "do_resize": True, "do_rescale": True, "rescale_factor": 1 / 255,
    "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.25, 0.3], "size": {"height": 16, "width": 16},
}  # fmt: skip


def images(folder: Path, names: tuple[str, ...] = ("cat", "ant")) -> None:
    for split in ("train", "test"):
        for name in names:
            (folder / "photos" / split / name).mkdir(parents=True)
            for i in range(3):
                pixels = RNG.integers(0, 256, (20 + i, 24, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / "photos" / split / name / f"{i}.png")


def write(folder: Path, model: str, data: str = 'source = "folder:photos"') -> Path:
    path = folder / "plan.toml"
    path.write_text(f"[model]\n{model}\n[data]\n{data}\naudit_examples = 4\n", encoding="utf-8")
    return path


def described(folder: Path, config: dict[str, Any], prepare: dict[str, Any] | None = None) -> None:
    """A folder with the files that ``save_pretrained`` writes, but for the weights."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    if prepare is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(prepare))


@pytest.fixture
def vit(tmp_path: Path) -> Path:
    """A tiny transformer as Hugging Face's own ``save_pretrained`` leaves it, beside folders of photos."""
    transformers = pytest.importorskip("transformers", reason="needs the extra hf")
    vision.torchvision()  # which it imports, and which may need mending
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=16,
        patch_size=8, num_labels=2, id2label={0: "cat", 1: "ant"}, label2id={"cat": 0, "ant": 1},
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path / "vit")
    (tmp_path / "vit/preprocessor_config.json").write_text(json.dumps(PREPARE))
    images(tmp_path)
    return tmp_path


def test_a_saved_folder_is_the_model_that_its_own_library_loads(vit: Path) -> None:
    import transformers

    plan = load(write(vit, 'build = "hf:vit"'))
    subject = preflight(plan)
    assert subject.data.input_shape == (3, 16, 16)
    assert subject.data.classes == ("cat", "ant")  # as the outputs stand, not by the alphabet
    assert plan.model.normalise is not None
    assert plan.model.weights is not None
    build = models.builder(plan, subject.data)
    inner = models.restore(plan.model.weights, plan, build, subject.data).model
    ours = models.wrap(inner, plan, subject.data)(subject.data.test.x)
    theirs = transformers.ViTForImageClassification.from_pretrained(vit / "vit").eval()
    mean, std = (torch.tensor(PREPARE[key]).view(1, 3, 1, 1) for key in ("image_mean", "image_std"))
    with torch.no_grad():
        want = theirs((subject.data.test.x - mean) / std).logits
    torch.testing.assert_close(ours, want)


def test_what_init_proposes_for_a_saved_folder_passes_preflight(vit: Path) -> None:
    (vit / "audit").mkdir()
    starter.write(vit / "audit", f"hf:{vit / 'vit'}", None, vit / "photos")
    text = (vit / "audit/plan.toml").read_text()
    assert 'build = "hf:../vit"' in text
    assert "\n[train]" not in text
    (vit / "audit/plan.toml").write_text(text.replace("audit_examples = 500", "audit_examples = 4"))
    assert preflight(load(vit / "audit/plan.toml")).data.classes == ("cat", "ant")


@pytest.mark.parametrize(
    ("config", "files", "said"),
    [
        (None, (), "no config.json"),
        ({}, (), "holds none of model.safetensors"),
        ({}, ("model.safetensors.index.json",), "in several files"),
    ],
)
def test_folders_that_are_no_model_say_what_to_do(
    tmp_path: Path, config: dict[str, Any] | None, files: tuple[str, ...], said: str
) -> None:
    if config is not None:
        described(tmp_path / "m", config)
    for name in files:
        (tmp_path / "m" / name).write_text("{}")
    with pytest.raises(PlanError, match=said):
        load(write(tmp_path, 'build = "hf:m"'))


def test_the_plan_goes_before_the_folder(tmp_path: Path) -> None:
    described(tmp_path / "m", {"num_channels": 1}, PREPARE)
    (tmp_path / "m/model.safetensors").write_bytes(b"")
    table = {"model": {"build": "hf:m"}, "data": {"source": "folder:x", "crop": 8}}
    found = hugging_face.filled(table, tmp_path)
    assert found["model"]["normalise"]["mean"] == [0.5, 0.4, 0.3]
    assert found["data"] == {"source": "folder:x", "resize": [16, 16], "mode": "L", "crop": 8}
    table["model"]["normalise"] = {"mean": [0], "std": [1]}  # type: ignore[assignment]
    assert hugging_face.filled(table, tmp_path)["model"]["normalise"] == {"mean": [0], "std": [1]}
    other = {"model": {"build": "torchvision:resnet18"}}
    assert hugging_face.filled(other, tmp_path) is other
    described(tmp_path / "m", {}, PREPARE | {"rescale_factor": 1 / 127.5})
    with pytest.raises(PlanError, match="does not span 0 to 1"):
        hugging_face.filled({"model": {"build": "hf:m"}}, tmp_path)
    (tmp_path / "m/config.json").write_text("[")
    with pytest.raises(PlanError, match="config.json: cannot be read"):
        hugging_face.filled({"model": {"build": "hf:m"}}, tmp_path)


def test_code_of_a_folder_is_not_run(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs the extra hf")
    images(tmp_path)
    described(tmp_path / "m", {"model_type": "mine", "auto_map": {"AutoConfig": "evil.Config"}})
    (tmp_path / "m/evil.py").write_text("raise SystemExit('it ran')\n")
    (tmp_path / "m/model.safetensors").write_bytes(b"")
    with pytest.raises(RefusedError, match="hf:m|/m: "):
        preflight(load(write(tmp_path, 'build = "hf:m"', 'source = "folder:photos"\nresize = 16\ncrop = 16')))


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_a_model_of_timm_is_the_one_that_timm_makes(tmp_path: Path, name: str) -> None:
    timm = pytest.importorskip("timm", reason="needs the extra timm")
    images(tmp_path)
    torch.manual_seed(0)
    sized = {"img_size": 32} if name == "test_vit" else {}
    theirs: nn.Module = timm.create_model(name, num_classes=2, **sized).eval()
    torch.save({"epoch": 3, "state_dict": theirs.state_dict(), "arch": name}, tmp_path / "last.pth.tar")
    path = write(
        tmp_path, f'build = "timm:{name}"\nweights = "last.pth.tar"',
        'source = "folder:photos"\nresize = 32\ncrop = 32\nmode = "RGB"',
    )  # fmt: skip
    plan = load(path)
    subject = preflight(plan)
    assert plan.model.weights is not None
    inner = models.restore(plan.model.weights, plan, models.builder(plan, subject.data), subject.data).model
    with torch.no_grad():
        torch.testing.assert_close(inner.eval()(subject.data.test.x), theirs(subject.data.test.x))


def test_a_name_that_timm_has_not_is_answered_with_near_ones(
    tmp_path: Path, write_plan: Callable[[dict[str, Any]], Path], tiny: dict[str, Any]
) -> None:
    pytest.importorskip("timm", reason="needs the extra timm")
    tiny["model"] = {"build": "timm:resnet81"}
    with pytest.raises(PlanError, match="timm has no model 'resnet81'; near: resnet"):
        preflight(load(write_plan(tiny)))


def test_init_proposes_the_statistics_that_timm_names(tmp_path: Path) -> None:
    pytest.importorskip("timm", reason="needs the extra timm")
    save_file({"a": torch.zeros(2)}, tmp_path / "w.safetensors")
    starter.write(tmp_path / "audit", "timm:resnet18", tmp_path / "w.safetensors", None)
    text = (tmp_path / "audit/plan.toml").read_text()
    assert "normalise = { mean = [0.485, 0.456, 0.406]" in text


def test_a_folder_whose_head_was_never_trained_is_refused(vit: Path) -> None:
    """transformers itself fills such a head with random numbers, and warns."""
    held = load_file(vit / "vit/model.safetensors")
    save_file(
        {k: v for k, v in held.items() if "classifier" not in k},
        vit / "vit/model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(RefusedError, match="lacks classifier"):
        preflight(load(write(vit, 'build = "hf:vit"')))
