"""What ``init`` proposes from a checkpoint and data, as a user has them; the plan that it writes loads."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from audit import starter, zoo
from audit.errors import PlanError, RefusedError
from audit.plan import Plan, load
from audit.preflight import preflight
from audit.subject import data as subject_data
from audit.subject import vision


def proposed(folder: Path, **given: Path | str) -> Plan:
    starter.write(folder, **given)  # type: ignore[arg-type]
    return load(folder / "plan.toml")


def photos(path: Path, held: str = "val") -> Path:
    rng = np.random.default_rng(0)
    for split in ("train", held):
        for name in ("cat", "dog"):
            (path / split / name).mkdir(parents=True)
            for i in range(3):
                pixels = rng.integers(0, 255, (40 + i, 50, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(path / split / name / f"{i}.png")
    return path


def test_a_wrapped_checkpoint_and_a_folder_of_photos(tmp_path: Path) -> None:
    model = vision.torchvision().models.get_model("resnet18", weights=None, num_classes=2)
    torch.save({"state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}}, tmp_path / "c.pth")
    plan = proposed(tmp_path / "audit", weights=tmp_path / "c.pth", data=photos(tmp_path / "photos"))
    assert plan.model.build == "torchvision:resnet18"
    assert plan.model.normalise is not None
    assert plan.data.splits == {"test": "val"}
    assert subject_data.load(plan).input_shape == (3, 32, 32)
    assert preflight(plan).parameters == 11_177_538


def test_an_architecture_that_is_nobodys_gets_a_stub_to_fill_in(tmp_path: Path) -> None:
    torch.save(zoo.digits_cnn().state_dict(), tmp_path / "mine.pt")
    plan = proposed(tmp_path, weights=tmp_path / "mine.pt")
    assert plan.model.build == "my_model.py:build"
    assert "0.weight: (16, 1, 3, 3)" in (tmp_path / "my_model.py").read_text()
    assert "10 outputs" in (tmp_path / "plan.toml").read_text()
    with pytest.raises(RefusedError, match="raises NotImplementedError: build your model here"):
        preflight(plan)


def test_a_model_of_ones_own_and_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x_test=np.full((4, 1, 8, 8), -1.5), y_test=np.arange(4))
    (tmp_path / "mine.py").write_text("from audit.zoo import digits_cnn as build\n")
    plan = proposed(tmp_path, model="mine.py:build", data=tmp_path / "d.npz")
    assert (plan.model.build, plan.data.source) == ("mine.py:build", "npz:d.npz")
    assert plan.data.bounds == (-2, -1)
    assert plan.train is not None


def test_tables(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    pd.DataFrame({"a": [0.1, 0.2], "label": [0, 1]}).to_csv(tmp_path / "t" / "test.csv", index=False)
    plan = proposed(tmp_path / "audit", model="audit.zoo:paper_mlp", data=tmp_path / "t")
    assert plan.data.source == "csv:../t"
    assert len(subject_data.load(plan).test) == 2


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="no such file"):
        proposed(tmp_path, weights=tmp_path / "absent.pt")
    with pytest.raises(PlanError, match="--data .*no such file or folder"):
        proposed(tmp_path, data=tmp_path / "absent")
    with pytest.raises(PlanError, match="has no folder for held-out images"):
        proposed(tmp_path, data=photos(tmp_path / "photos", held="elsewhere"))
    assert not (tmp_path / "plan.toml").exists()
    (tmp_path / "plan.toml").touch()
    with pytest.raises(PlanError, match="exists already"):
        proposed(tmp_path, model="mine.py:build")


def test_a_constructor_that_needs_more_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from torch import nn\nclass Net(nn.Module):\n    def __init__(self, width): super().__init__()\n"
    )
    plan = proposed(tmp_path, model="mine.py:Net")
    with pytest.raises(RefusedError, match=r"raises TypeError: .*'width'; .*write a function of your own"):
        preflight(plan)
