"""Images in class folders: PATH/train/CLASS/*.png and PATH/test/CLASS/*.png."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from audit.errors import RefusedError
from audit.plan import DataPlan, Split
from audit.subject.reading import Reading, fits

Arrays = Mapping[str, tuple[NDArray[Any], NDArray[Any]]]


def read(path: Path, plan: DataPlan, reading: Reading) -> tuple[Arrays, Sequence[str], list[str]]:
    """Images uint8 N×C×H×W and labels by split; class names, by the alphabet; what was left out. Only the
    images that ``reading`` chooses are opened.

    Raises RefusedError for images that cannot be read or are not alike.
    """
    both: tuple[Split, ...] = ("train", "test")
    splits = {split: path / plan.splits.get(split, split) for split in both}
    names = sorted(e.name for e in splits["test"].glob("*") if e.is_dir() and not e.name.startswith("."))
    if not names:
        there = sorted(e.name for e in path.glob("*") if e.is_dir())
        raise RefusedError(
            f"[data] source: {splits['test']}: no class folders ({splits['test'].name}/CLASS/IMAGE); "
            f"{path} has {', '.join(there[:8]) or 'no folders'}: if held-out images have another name, "
            'say splits = { train = "…", test = "…" }'
        )
    arrays: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
    junk = 0
    for split, folder in splits.items():
        if not folder.is_dir():
            continue
        extra = sorted(e.name for e in folder.iterdir() if e.is_dir() and e.name not in names)
        extra = [name for name in extra if not name.startswith(".")]
        if extra:
            raise RefusedError(
                f"[data] source: {path}: classes in {split} that test lacks: {', '.join(extra)}"
            )
        entries = [(file, i) for i, name in enumerate(names) for file in sorted((folder / name).glob("*"))]
        files = [(file, label) for file, label in entries if _is_image(file)]
        junk += len(entries) - len(files)
        if not files:
            raise RefusedError(f"[data] source: {folder}: there are no images in it")
        arrays[split] = _opened([files[i] for i in reading.chosen(split, len(files))], plan, folder)
    return arrays, names, [f"{junk} files in {path} are no images and were left out"] * bool(junk)


def _opened(
    files: Sequence[tuple[Path, int]], plan: DataPlan, folder: Path
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Images and labels of some files."""
    images: list[NDArray[np.uint8]] = []
    for file, _ in files:
        images.append(image(file, plan))
        if len(images) == 1:
            fits(len(files), images[0].size, f"[data] source: {folder}")
        if images[-1].shape != images[0].shape:
            raise RefusedError(
                f"[data] source: {file}: is {_shape(images[-1])}, others are {_shape(images[0])}: "
                'say resize = 224 (the shorter side), crop = 224 and mode = "RGB" in [data], as the '
                "model was trained; or resize all images first"
            )
    return stacked(images), np.asarray([label for _, label in files], dtype=np.int64)


def image(file: Any, plan: DataPlan, name: str = "") -> NDArray[np.uint8]:
    """One image, H×W or H×W×C, in the plan's mode, resized and cropped; ``file`` as PIL opens it."""
    try:
        with Image.open(file) as opened:
            mode = plan.mode or ("L" if opened.mode in ("L", "1") else "RGB")
            return np.asarray(_cropped(_resized(opened.convert(mode), plan.resize), plan.crop, name or file))
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise RefusedError(f"[data] source: {name or file}: not a readable image: {error}") from None


def again(images: NDArray[Any], plan: DataPlan) -> NDArray[Any]:
    """Images N×C×H×W that are in memory, uint8 or float: resized and cropped as those of files are."""
    if plan.resize is None and plan.crop is None:
        return images

    def one(plane: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(_cropped(_resized(Image.fromarray(plane), plan.resize), plan.crop, "an image"))

    return np.stack([np.stack([one(plane) for plane in image]) for image in images])


def stacked(images: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """N×C×H×W."""
    stack = np.stack(images)
    return np.ascontiguousarray(stack[:, None] if stack.ndim == 3 else stack.transpose(0, 3, 1, 2))


def _resized(picture: Image.Image, size: int | tuple[int, int] | None) -> Image.Image:
    """As torchvision's Resize does with PIL images: an int is the shorter side, a pair height and width."""
    if size is None:
        return picture
    if isinstance(size, int):
        width, height = picture.size
        short, long = min(width, height), max(width, height)
        wide = int(size * long / short)
        height, width = (wide, size) if height > width else (size, wide)
    else:
        height, width = size
    return picture.resize((width, height), Image.Resampling.BILINEAR)


def _cropped(picture: Image.Image, size: int | tuple[int, int] | None, name: object) -> Image.Image:
    """As torchvision's CenterCrop does; raises RefusedError for an image that is smaller."""
    if size is None:
        return picture
    height, width = (size, size) if isinstance(size, int) else size
    if picture.width < width or picture.height < height:
        raise RefusedError(
            f"[data] crop: {name} is {picture.height}×{picture.width} and cannot be cropped to "
            f"{height}×{width}: say resize too"
        )
    left, top = round((picture.width - width) / 2), round((picture.height - height) / 2)
    return picture.crop((left, top, left + width, top + height))


def _is_image(file: Path) -> bool:
    return (
        file.is_file()
        and not file.name.startswith(".")
        and file.suffix.lower() in Image.registered_extensions()
    )


def _shape(array: NDArray[Any]) -> str:
    return "×".join(map(str, array.shape))
