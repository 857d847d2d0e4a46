"""Data as people have it: folders of any images, tables, parquet, torch's data sets and loaders."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, TensorDataset

from audit.errors import PlanError, RefusedError
from audit.plan import load
from audit.subject import data as subject_data
from audit.subject import vision
from audit.subject.torch_data import arrays

Write = Callable[[dict[str, Any]], Path]
RNG = np.random.default_rng(0)


@pytest.fixture
def loaded(tiny: dict[str, Any], write_plan: Write) -> Callable[..., subject_data.Data]:
    def read(source: str, **keys: Any) -> subject_data.Data:
        tiny["data"] = {"source": source, **keys}
        return subject_data.load(load(write_plan(tiny)))

    return read


def picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    pixels = RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """As a user has them: any size, grey ones among colour, other names, and what computers leave behind."""
    for split in ("training", "val"):
        for name in ("cat", "dog", "10"):
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for i, (size, mode) in enumerate([((40, 30), "RGB"), ((25, 50), "L"), ((33, 33), "RGB")]):
                picture(*size, mode).save(folder / f"{i}.png")
            (folder / "Thumbs.db").write_bytes(b"junk")
            (folder / ".DS_Store").write_bytes(b"junk")
        (tmp_path / "photos" / split / ".cache").mkdir()
    return tmp_path / "photos"


def test_a_folder_of_any_images(loaded: Callable[..., subject_data.Data], photos: Path) -> None:
    asked = {"splits": {"train": "training", "test": "val"}, "resize": 24, "crop": 20, "mode": "RGB"}
    data = loaded("folder:photos", **asked)
    assert data.train is not None
    assert (len(data.train), len(data.test)) == (9, 9)
    assert data.input_shape == (3, 20, 20)
    assert data.classes == ("10", "cat", "dog")
    assert "12 files" in data.notes[0]
    assert loaded("folder:photos", **asked | {"mode": "L"}).input_shape == (1, 20, 20)
    assert loaded("folder:photos", **asked | {"resize": [30, 40], "crop": [20, 30]}).input_shape == (
        3,
        20,
        30,
    )


@pytest.mark.parametrize("size", [(40, 30), (25, 50), (33, 33)])
@pytest.mark.parametrize("resize", [24, [17, 23]])
def test_resize_and_crop_are_torchvisions(
    loaded: Callable[..., subject_data.Data], tmp_path: Path, size: tuple[int, int], resize: Any
) -> None:
    transforms = vision.torchvision().transforms
    original = picture(*size)
    (tmp_path / "one/test/a").mkdir(parents=True)
    original.save(tmp_path / "one/test/a/0.png")
    data = loaded("folder:one", resize=resize, crop=15, mode="RGB")
    theirs = transforms.Compose(
        [transforms.Resize(resize), transforms.CenterCrop(15), transforms.PILToTensor()]
    )(original)
    assert torch.equal((data.test.x[0] * 255).round().byte(), theirs)


def test_embedded_digits_and_torchvisions_are_resized_as_files_are(
    loaded: Callable[..., subject_data.Data], tmp_path: Path
) -> None:
    data = loaded("digits", resize=10, audit_examples=897)
    assert data.input_shape == (1, 10, 10)
    assert data.test.x.min() >= 0
    assert data.test.x.max() <= 1
    original = loaded("digits", audit_examples=897)
    theirs = torch.nn.functional.interpolate(original.test.x, (10, 10), mode="bilinear", antialias=True)
    torch.testing.assert_close(data.test.x, theirs, atol=1e-5, rtol=0)
    assert torch.equal(data.test.y, original.test.y)


@pytest.mark.parametrize("key", ["resize", "crop"])
def test_a_key_about_images_that_would_do_nothing_is_refused(
    loaded: Callable[..., subject_data.Data], tmp_path: Path, key: str
) -> None:
    np.savez(tmp_path / "a.npz", x_test=np.zeros((4, 1, 8, 8), np.float32), y_test=np.arange(4))
    with pytest.raises(PlanError, match=rf"\[data\] {key}: does nothing with source 'npz:a.npz'"):
        loaded("npz:a.npz", **{key: 4})
    with pytest.raises(PlanError, match=r"\[data\] mode: does nothing with source 'digits'"):
        loaded("digits", mode="RGB")


def test_what_is_wrong_with_a_folder_is_said(
    loaded: Callable[..., subject_data.Data], photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(RefusedError, match=r"no class folders .*it has training, val|has training, val"):
        loaded("folder:photos")
    with pytest.raises(RefusedError, match=r"resize = 224"):
        loaded("folder:photos", splits={"test": "val"})
    with pytest.raises(RefusedError, match=r"\[data\] crop: .*cannot be cropped to 60×60: say resize too"):
        loaded("folder:photos", splits={"test": "val"}, crop=60)
    with pytest.raises(PlanError, match="resize"):
        loaded("folder:photos", resize=0)
    (photos / "val" / "cat" / "0.png").write_bytes(b"no image")
    with pytest.raises(RefusedError, match=r"0\.png: not a readable image"):
        loaded("folder:photos", splits={"test": "val"}, resize=[8, 8], mode="L")


def test_classes_stand_in_the_order_that_the_plan_says(
    loaded: Callable[..., subject_data.Data], photos: Path
) -> None:
    asked: dict[str, Any] = {"splits": {"test": "val"}, "resize": [8, 8], "mode": "L"}
    plain = loaded("folder:photos", **asked)
    turned = loaded("folder:photos", class_order=["dog", "10", "cat"], **asked)
    assert turned.classes == ("dog", "10", "cat")
    assert [turned.classes[i] for i in turned.test.y] == [plain.classes[i] for i in plain.test.y]
    assert turned.digest != plain.digest
    with pytest.raises(PlanError, match="must hold each class once: 10, cat, dog"):
        loaded("folder:photos", class_order=["dog", "cat"], **asked)


def test_tables(loaded: Callable[..., subject_data.Data], tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"age": [20.0, 30, 40, 50], "rich": [True, False, True, False], "target": list("baba")}
    )
    (tmp_path / "t").mkdir()
    frame.to_csv(tmp_path / "t" / "train.csv", index=False)
    frame[:2].to_csv(tmp_path / "t" / "test.csv", index=False)
    data = loaded("csv:t", bounds=[0, 100])
    assert data.train is not None
    assert data.classes == ("a", "b")
    assert data.train.x.tolist() == [[20, 1], [30, 0], [40, 1], [50, 0]]
    assert data.train.y.tolist() == [1, 0, 1, 0]
    assert "label is column 'target'; features: age, rich" in data.notes
    frame["split"] = ["train", "train", "holdout", "holdout"]
    frame["income"] = frame["age"] / 2
    frame.to_csv(tmp_path / "one.csv", index=False)
    data = loaded("csv:one.csv", bounds=[0, 100], splits={"test": "holdout"}, label="target")
    assert (data.train is not None, len(data.test), data.input_shape) == (True, 2, (3,))


@pytest.mark.parametrize(
    ("change", "keys", "said"),
    [
        ({"city": ["x", "y", "z", "w"]}, {}, "column 'city' holds 'x', no number"),
        ({"age": [1, None, 3, 4]}, {}, "column 'age' lacks a value in 1 rows"),
        ({"target": ["a", None, "b", "a"]}, {}, "1 rows have no 'target'"),
        ({}, {"label": "nope"}, "no column 'nope'; it has age, target"),
    ],
)
def test_tables_that_no_model_could_take_are_refused(
    change: dict[str, Any], keys: dict[str, Any], said: str, loaded: Callable[..., subject_data.Data],
    tmp_path: Path,
) -> None:  # fmt: skip
    frame = pd.DataFrame({"age": [20.0, 30, 40, 50], "target": [0, 1, 0, 1]} | change)
    frame.to_csv(tmp_path / "test.csv", index=False)
    with pytest.raises(RefusedError, match=said):
        loaded("csv:.", bounds=[0, 100], **keys)
    with pytest.raises(RefusedError, match="one file needs a column 'split'"):
        loaded("csv:test.csv", bounds=[0, 100], **keys)


def test_parquet_of_images_as_hugging_face_keeps_them(
    loaded: Callable[..., subject_data.Data], tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "hub" / "data").mkdir(parents=True)
    originals = [picture(12, 9, "L") for _ in range(4)]
    cells = []
    for image in originals:
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        cells.append({"bytes": buffer.getvalue(), "path": None})
    for split, part in {"train": slice(0, 2), "test": slice(2, 4)}.items():
        frame = pd.DataFrame({"image": cells[part], "label": [0, 1]})
        frame.to_parquet(tmp_path / "hub" / "data" / f"{split}-00000-of-00001.parquet")
    data = loaded("parquet:hub")
    assert data.train is not None
    assert data.input_shape == (1, 9, 12)
    pixels = sorted((part.x * 255).sum().round().item() for part in (data.train, data.test))
    want = [sum(float(np.asarray(o).sum()) for o in originals[i : i + 2]) for i in (0, 2)]
    assert pixels == pytest.approx(sorted(want))


def test_without_pyarrow_parquet_says_what_to_install(
    loaded: Callable[..., subject_data.Data], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "test.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr(pd, "read_parquet", lambda file: (_ for _ in ()).throw(ImportError("no pyarrow")))
    with pytest.raises(PlanError, match=r"pip install 'prune-audit\[parquet\]'"):
        loaded("parquet:test.parquet")


class Items(Dataset[Any]):
    def __init__(self, *items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        item = self.items[index]
        return item() if callable(item) else item


X, Y = torch.arange(24.0).reshape(4, 1, 2, 3), torch.tensor([0, 1, 1, 0])


@pytest.mark.parametrize(
    "found",
    [
        TensorDataset(X, Y),
        DataLoader(TensorDataset(X, Y), batch_size=3, shuffle=True, drop_last=True),
        Items(*({"pixel_values": x, "label": int(y)} for x, y in zip(X, Y, strict=True))),
        Items(*((x.numpy(), y, "extra") for x, y in zip(X, Y, strict=True))),
        (X.numpy(), Y.numpy()),
        (X, Y),
        [(x, y) for x, y in zip(X, Y, strict=True)],
    ],
)
def test_torchs_data_sets_and_loaders_are_read_whole_and_in_order(found: Any) -> None:
    x, y = arrays(found, "source")
    assert np.array_equal(x, X.numpy())
    assert y.tolist() == Y.tolist()


def test_images_of_a_data_set_become_arrays() -> None:
    original = picture(5, 4)
    x, _ = arrays(Items((original, 1)), "source")
    assert x.dtype == np.uint8
    assert np.array_equal(x[0].transpose(1, 2, 0), np.asarray(original))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (3, "want a torch Dataset"),
        (Items(), "is empty"),
        (Items(X[0]), "want .input, label. pairs"),
        (Items({"text": "a", "label": 1}), "want .input, label. pairs"),
        (Items(lambda: (torch.rand(2), 0)), "augments at random"),
        (Items((X[0], 0), (X[0, 0], 1)), "differ in shape"),
    ],
)
def test_what_is_no_data_set_is_refused(found: Any, said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        arrays(found, "source")


def test_what_a_users_function_raises_is_refused(
    loaded: Callable[..., subject_data.Data], tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text("def sets(): raise KeyError('path')\ndef more(a): pass\n")
    with pytest.raises(RefusedError, match="raises KeyError: 'path'; it is called without arguments"):
        loaded("mine.py:sets")
    with pytest.raises(RefusedError, match="raises TypeError: .*'a'"):
        loaded("mine.py:more")


def test_a_function_may_return_them(loaded: Callable[..., subject_data.Data], tmp_path: Path) -> None:
    (tmp_path / "sets_of_mine.py").write_text(
        "import torch\nfrom torch.utils.data import DataLoader, TensorDataset\n"
        "def sets():\n"
        "    d = TensorDataset(torch.rand(6, 1, 4, 4), torch.arange(6) % 2)\n"
        "    return {'train': DataLoader(d, 2), 'test': d}\n"
        "def pair():\n    return tuple(sets().values())\n"
    )
    for source in ("sets_of_mine.py:sets", "sets_of_mine.py:pair", "sets_of_mine:pair"):
        data = loaded(source)
        assert data.train is not None
        assert (len(data.train), len(data.test), data.input_shape) == (6, 6, (1, 4, 4))


class Counted(Dataset[Any]):
    """Ten thousand images, of which it is counted which are asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __len__(self) -> int:
        return 10_000

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        self.asked.append(i)
        return torch.full((1, 4, 4), i / 10_000), i % 7


def test_only_the_items_that_are_chosen_are_asked_for(
    loaded: Callable[..., subject_data.Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = Counted(), Counted()
    monkeypatch.setattr(subject_data, "_called", lambda plan: {"train": train, "test": test})
    data = loaded("own.py:load", read={"train": 60, "test": 50}, audit_examples=40)
    assert data.train is not None
    assert data.pool is not None
    assert (len(data.train), len(data.test), len(data.pool)) == (60, 40, 10)
    assert (len(train.asked), len(set(train.asked))) == (61, 60), "the first once more, for augmentation"
    assert len(set(test.asked)) == 50
    assert max(train.asked) > 9_000, "a choice among all, not the first ones"
    assert set((data.train.x[:, 0, 0, 0] * 10_000).round().int().tolist()) == set(train.asked)
    assert "60 of 10,000 training examples are read" in data.notes[0]
    again = loaded("own.py:load", read={"train": 60, "test": 50}, audit_examples=40)
    assert again.digest == data.digest


def test_only_the_images_that_are_chosen_are_opened(
    loaded: Callable[..., subject_data.Data], photos: Path
) -> None:
    asked = {"splits": {"train": "training", "test": "val"}, "resize": 24, "crop": 20, "mode": "RGB"}
    whole = loaded("folder:photos", **asked)
    some = loaded("folder:photos", **asked, read={"train": 2})
    assert whole.train is not None
    assert some.train is not None
    assert (len(some.train), len(some.test)) == (2, 9)
    assert all(any(torch.equal(x, other) for other in whole.train.x) for x in some.train.x)
    for file in (photos / "training").glob("*/*.png"):
        file.write_bytes(b"damaged")
    with pytest.raises(RefusedError, match="not a readable image"):
        loaded("folder:photos", **asked, read={"train": 2})


def test_what_is_in_memory_already_is_cut_likewise(
    loaded: Callable[..., subject_data.Data], tmp_path: Path
) -> None:
    x, y = RNG.random((300, 5), dtype=np.float32), np.arange(300) % 3
    np.savez(tmp_path / "data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    data = loaded("npz:data.npz", read={"train": 100, "test": 30})
    assert data.train is not None
    assert (len(data.train), len(data.test)) == (100, 30)
    place = [int(np.flatnonzero((x == row.numpy()).all(1))[0]) for row in data.train.x]
    assert y[place].tolist() == data.train.y.tolist(), "inputs and labels stay together"


def test_data_larger_than_memory_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    items = Counted()
    monkeypatch.setattr("audit.machine.available_memory", lambda: 10_000 * 16 * 8 - 1)
    with pytest.raises(RefusedError, match=r"GB are free: say how many to read, \[data\] read = "):
        arrays(items, "source")
    assert items.asked == [0]
    monkeypatch.setattr("audit.machine.available_memory", lambda: None)
    assert len(arrays(items, "source")[0]) == 10_000
