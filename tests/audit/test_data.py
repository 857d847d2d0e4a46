"""The data sources, and every way in which data can be bad."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from audit.errors import PlanError, RefusedError
from audit.plan import load
from audit.subject import data as subject_data

Write = Callable[[dict[str, Any]], Path]
RNG = np.random.default_rng(0)


def arrays(n: int = 30) -> dict[str, NDArray[Any]]:
    return {
        "x_train": RNG.random((n, 1, 8, 8), dtype=np.float32),
        "y_train": RNG.integers(0, 10, n),
        "x_test": RNG.random((n, 1, 8, 8), dtype=np.float32),
        "y_test": RNG.integers(0, 10, n),
    }


def load_npz(
    tiny: dict[str, Any], write_plan: Write, tmp_path: Path, content: dict[str, Any]
) -> subject_data.Data:
    np.savez(tmp_path / "data.npz", **content)
    tiny["data"] = {"source": "npz:data.npz", "audit_examples": 10}
    return subject_data.load(load(write_plan(tiny)))


def test_digits_are_disjoint_scaled_and_mixed(tiny: dict[str, Any], write_plan: Write) -> None:
    data = subject_data.load(load(write_plan(tiny)))
    assert data.train is not None
    assert data.pool is not None
    assert (len(data.train), len(data.test), len(data.pool)) == (100, 40, 1657)
    assert data.input_shape == (1, 8, 8)
    assert float(data.test.x.min()) == 0.0
    assert float(data.test.x.max()) == 1.0
    assert set(data.test.y.tolist()) == set(range(10))
    assert len(data.heldout) == 1697
    everything = torch.cat([data.train.x, data.heldout.x]).flatten(1)
    assert len(everything.unique(dim=0)) == 1797  # no example is on both sides


def test_same_plan_same_digest_and_other_data_another(tiny: dict[str, Any], write_plan: Write) -> None:
    one = subject_data.load(load(write_plan(tiny))).digest
    assert subject_data.load(load(write_plan(tiny))).digest == one
    tiny["data"]["audit_examples"] = 41
    assert subject_data.load(load(write_plan(tiny))).digest != one


def test_npz_without_train_pair_has_no_members(
    tiny: dict[str, Any], write_plan: Write, tmp_path: Path
) -> None:
    content = arrays()
    data = load_npz(tiny, write_plan, tmp_path, {k: v for k, v in content.items() if "test" in k})
    assert data.train is None
    assert len(data.test) == 10


def test_uint8_is_scaled(tiny: dict[str, Any], write_plan: Write, tmp_path: Path) -> None:
    content = arrays() | {
        name: (255 * np.ones((30, 1, 8, 8))).astype(np.uint8) for name in ("x_train", "x_test")
    }
    data = load_npz(tiny, write_plan, tmp_path, content)
    assert torch.equal(data.test.x, torch.ones(10, 1, 8, 8))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x_test": np.zeros((0, 1, 8, 8)), "y_test": np.zeros(0, dtype=int)}, "is empty"),
        ({"y_test": np.full(30, -1)}, "label -1 is out of range"),
        ({"y_test": np.arange(30.0, 60.0)}, "labels are of type float64"),
        ({"y_test": np.zeros(29, dtype=int)}, "do not fit"),
        ({"x_test": np.full((30, 1, 8, 8), np.nan)}, "NaN"),
        ({"x_test": np.full((30, 1, 8, 8), 2.0)}, "outside .data. bounds"),
        ({"x_test": np.zeros((30, 1, 9, 9))}, "differ in shape"),
        ({"x_test": np.full((30, 1, 8, 8), "a")}, "inputs are of type"),
        ({"x_test": np.array([object()] * 30)}, "without pickles"),
    ],
)
def test_bad_arrays_are_refused(
    tiny: dict[str, Any], write_plan: Write, tmp_path: Path, change: dict[str, NDArray[Any]], said: str
) -> None:
    with pytest.raises(RefusedError, match=said):
        load_npz(tiny, write_plan, tmp_path, arrays() | change)


def test_npz_that_is_missing_truncated_or_incomplete(
    tiny: dict[str, Any], write_plan: Write, tmp_path: Path
) -> None:
    with pytest.raises(RefusedError, match="must hold x_test and y_test"):
        load_npz(tiny, write_plan, tmp_path, {"a": np.zeros(3)})
    path = tmp_path / "data.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RefusedError, match=r"cannot be read|damaged"):
        subject_data.load(load(write_plan(tiny)))
    path.unlink()
    with pytest.raises(RefusedError, match="no such file"):
        subject_data.load(load(write_plan(tiny)))


def test_user_function(tiny: dict[str, Any], write_plan: Write, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "def load():\n"
        "    x = np.zeros((12, 1, 8, 8), dtype=np.float32); y = np.arange(12) % 10\n"
        "    return {'x_train': x, 'y_train': y, 'x_test': x, 'y_test': y}\n"
        "def broken():\n"
        "    return 3\n",
        encoding="utf-8",
    )
    tiny["data"] = {"source": "mine.py:load", "audit_examples": 10}
    data = subject_data.load(load(write_plan(tiny)))
    assert data.train is not None
    assert len(data.train) == 12
    assert len(data.classes) == 10
    tiny["data"] = {"source": "mine.py:broken"}
    with pytest.raises(RefusedError, match="must hold x_test"):
        subject_data.load(load(write_plan(tiny)))
    for source, said in {
        "mine.py:absent": "no function",
        "no.py:load": "no such file",
        "what": "must be",
    }.items():
        tiny["data"] = {"source": source}
        with pytest.raises(PlanError, match=said):
            subject_data.load(load(write_plan(tiny)))


def test_folder_of_images(tiny: dict[str, Any], write_plan: Write, tmp_path: Path) -> None:
    for split in ("train", "test"):
        for label, name in enumerate(["cat", "dog"]):
            (tmp_path / "images" / split / name).mkdir(parents=True)
            for i in range(3):
                Image.new("RGB", (8, 8), (100 * label, i, 0)).save(
                    tmp_path / "images" / split / name / f"{i}.png"
                )
    tiny["data"] = {"source": "folder:images", "audit_examples": 4}
    data = subject_data.load(load(write_plan(tiny)))
    assert data.classes == ("cat", "dog")
    assert data.train is not None
    assert data.input_shape == (3, 8, 8)
    red = data.train.x[:, 0].amax(dim=(1, 2))
    assert torch.allclose(red, data.train.y * 100 / 255)
    (tmp_path / "images/test/cat/0.png").write_bytes(b"not an image")
    with pytest.raises(RefusedError, match="not a readable image"):
        subject_data.load(load(write_plan(tiny)))
    Image.new("RGB", (9, 8)).save(tmp_path / "images/test/cat/0.png")
    with pytest.raises(RefusedError, match="resize all images"):
        subject_data.load(load(write_plan(tiny)))


def test_torchvision_without_files_says_what_to_do(
    tiny: dict[str, Any], write_plan: Write, tmp_path: Path
) -> None:
    tiny["data"] = {"source": "torchvision:MNIST", "root": str(tmp_path)}
    with pytest.raises(RefusedError, match="download = true"):
        subject_data.load(load(write_plan(tiny)))
    tiny["data"]["source"] = "torchvision:MNISTT"
    with pytest.raises(PlanError, match="no data set 'MNISTT'"):
        subject_data.load(load(write_plan(tiny)))


def test_torchvision_reads_mnist_files(tiny: dict[str, Any], write_plan: Write, tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, n in (("train", 20), ("t10k", 12)):
        images, labels = (
            RNG.integers(0, 256, (n, 28, 28), dtype=np.uint8),
            RNG.integers(0, 10, n, dtype=np.uint8),
        )
        header = np.array([2051, n, 28, 28], dtype=">i4").tobytes()
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(
            np.array([2049, n], dtype=">i4").tobytes() + labels.tobytes()
        )
    tiny["data"] = {"source": "torchvision:MNIST", "root": str(tmp_path), "audit_examples": 12}
    data = subject_data.load(load(write_plan(tiny)))
    assert data.train is not None
    assert (len(data.train), len(data.test), data.input_shape) == (20, 12, (1, 28, 28))
    assert len(data.classes) == 10
    assert sorted(data.test.x.sum(dim=(1, 2, 3)).tolist()) == pytest.approx(
        sorted((images.astype(np.float32) / 255).sum(axis=(1, 2)).tolist())
    )


def test_train_examples_and_given_weights_exclude_each_other(tiny: dict[str, Any], write_plan: Write) -> None:
    tiny["model"]["weights"] = "w.safetensors"
    with pytest.raises(PlanError, match="remove one of the two"):
        subject_data.load(load(write_plan(tiny)))
    del tiny["model"]["weights"]
    tiny["data"]["train_examples"] = 10_000
    with pytest.raises(PlanError, match="only 900"):
        subject_data.load(load(write_plan(tiny)))


def test_data_is_immutable(tiny: dict[str, Any], write_plan: Write) -> None:
    data = subject_data.load(load(write_plan(tiny)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.digest = "x"  # type: ignore[misc]
