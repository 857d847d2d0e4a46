"""The one door to torchvision: it works beside a CPU build of torch too.

The registry's torchvision is built for CUDA; beside a CPU build of torch its own operators cannot be loaded
and the import fails with ``operator torchvision::nms does not exist``. Declaring the two schemas that its
import looks for cures this: data sets, transforms and models need none of the operators.
"""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from audit.errors import PlanError, RefusedError

_SCHEMAS = (
    ("nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"),
    ("qnms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"),
)


def mismatch() -> str:
    """What to do where torch and torchvision are no pair, so that every other import of torchvision fails,
    timm's too; empty where they are, or where this module has not had to mend it."""
    if not _mended:
        return ""
    build = torch.__version__.partition("+")[2] or "cpu"
    plain = torch.__version__.partition("+")[0]
    return (
        "this torchvision is built for another torch: import torchvision fails outside prune-audit "
        "(operator torchvision::nms does not exist). Install the two from one place: pip install "
        f"--force-reinstall torch=={plain} torchvision --index-url https://download.pytorch.org/whl/{build}"
    )


_mended: list[bool] = []


@functools.cache
def torchvision() -> ModuleType:
    """The torchvision package, made importable first where its operators are missing."""
    try:
        import torchvision as package
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name, schema in _SCHEMAS:
            torch.library.define(f"torchvision::{name}", schema)
        _mended.append(True)
        import torchvision as package
    found: ModuleType = package
    return found


def model(name: str, num_classes: int) -> Callable[[], nn.Module]:
    """A builder of torchvision's model ``name`` without weights; raises PlanError if there is none."""
    models = torchvision().models
    if name not in models.list_models(module=models):
        raise PlanError(f"[model] build: torchvision has no classifier {name!r}")

    def build() -> nn.Module:
        made: nn.Module = models.get_model(name, weights=None, num_classes=num_classes)
        return made

    return build


def dataset(
    name: str, root: Path, *, download: bool
) -> tuple[dict[str, tuple[NDArray[Any], NDArray[Any]]], Sequence[str]]:
    """Torchvision's data set ``name``: {"train" | "test": (images uint8 N×C×H×W, labels)} and class names.

    Raises PlanError for a name that torchvision does not have, RefusedError where the files are not there.
    """
    factory = getattr(torchvision().datasets, name, None)
    if factory is None or not isinstance(factory, type):
        raise PlanError(f"[data] source: torchvision has no data set {name!r}")
    splits, classes = {}, None
    for split in ("train", "test"):
        try:
            data = factory(root=str(root), train=split == "train", download=download)
        except TypeError:
            raise PlanError(
                f"[data] source: torchvision's {name} has no train and test split that prune-audit can load; "
                'write a function of your own and name it: source = "my_data.py:load"'
            ) from None
        except (RuntimeError, OSError) as error:
            raise RefusedError(
                f"[data] root: {name} is not in {root}: {error} "
                "Set [data] root (or --root) to the folder that holds it, or [data] download = true."
            ) from None
        images = np.stack([np.asarray(image) for image in data.data])
        images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
        splits[split] = (np.ascontiguousarray(images), np.asarray(data.targets, dtype=np.int64))
        classes = getattr(data, "classes", None)
    return splits, classes or ()
