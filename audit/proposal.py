"""What ``init`` proposes: a plan from a look at a checkpoint and at data; nothing of either is run."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from audit.errors import PlanError
from audit.subject import checkpoints, hub, vision

ARCHITECTURES = (
    "resnet18", "resnet34", "resnet50", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large",
    "vgg11_bn", "vgg16", "densenet121", "efficientnet_b0", "squeezenet1_1", "shufflenet_v2_x1_0",
    "alexnet", "googlenet",
)  # fmt: skip
"""torchvision's classifiers whose names and shapes of weights a checkpoint is held against."""
NAMES = {
    "train": ("train", "training", "Train"),
    "test": ("test", "val", "valid", "validation", "Test", "Val"),
}
"""What people call the two."""
SAMPLE = 60
"""Images whose sizes are looked at."""


def plan(folder: Path, model: str | None, weights: Path | None, data: Path | None) -> str:
    """The text of a plan in ``folder``: each line said by the user, or found; comments say how sure.

    Raises PlanError and RefusedError for files that are not there or cannot be read.
    """
    hub_folder = model is not None and model.startswith("hf:")
    if model is not None and hub_folder:
        model = f"hf:{_relative(Path(model.removeprefix('hf:')), folder)}"
    trained = weights is not None or hub_folder
    held = {} if weights is None else shapes(weights)
    found = None if model or not held else architecture(held)
    said: list[str] = [
        "# Proposed by prune-audit init: check each line, then  prune-audit preflight plan.toml",
        "",
    ]
    said += [
        "[model]",
        f"build = {_toml(model or (f'torchvision:{found}' if found else 'my_model.py:build'))}",
    ]
    if found:
        said[-1] += "  # names and shapes of the weights are this model's"
    if weights is not None:
        said.append(f"weights = {_toml(_relative(weights, folder))}")
        if classes := _classes(held):
            said.append(f"# the last layer has {classes} outputs: the data must have as many classes")
    timm = model.removeprefix("timm:") if model is not None and model.startswith("timm:") else None
    statistics = None if timm is None else hub.timm_statistics(timm)
    if hub_folder:
        said.append(
            "# weights, normalisation, sizes and the order of classes are those of that folder's files"
        )
    elif statistics is not None:
        said.append("# those that timm's own weights of this model want: as in your training")
        said.append(f"normalise = {{ mean = {statistics[0]}, std = {statistics[1]} }}")
    elif weights is not None and (found or (model or "").startswith("torchvision:")):
        said.append("# ImageNet's, a guess: as in your training")
        said.append("normalise = { mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225] }")
    else:
        said.append("# normalise = { mean = [0.5], std = [0.5] }  # as in your training")
    found_sizes = ("resize", "crop", "mode") if hub_folder else ()  # that folder says them
    lines = [line for line in _data(folder, data) if not line.startswith(found_sizes)]
    said += ["", "[data]", *lines, "audit_examples = 500"]
    if not trained:
        said += ["", "[train]  # the recipe that makes the model", "epochs = 10"]
    said += [
        "", "[pruning]  # leave this table out to audit the model as it is", 'methods = ["global-magnitude"]',
        "sparsities = [0.5, 0.75, 0.9]", "seeds = [0]" if trained else "seeds = [0, 1, 2]",
        *(["finetune_epochs = 0  # more than that needs the recipe of the training, in [train]"]
          if trained else []),
        "", "[probes.evasion]", 'level = "standard"  # ε follows the kind of data; see docs/plan.md', "",
    ]  # fmt: skip
    return "\n".join(said)


def architecture(shapes: Mapping[str, torch.Size]) -> str | None:
    """torchvision's model whose weights have these names and, but for the last layer's, these shapes."""
    models = vision.torchvision().models
    for name in ARCHITECTURES:
        extra = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
        with torch.device("meta"):
            own = {k: v.shape for k, v in models.get_model(name, weights=None, **extra).state_dict().items()}
        if own.keys() != {key for key in shapes if "." in key or key in own}:
            continue
        other = [key for key, shape in own.items() if shapes[key] != shape]
        if len(other) <= 2:  # weight and bias of the head
            return name
    return None


def stub(shapes: Mapping[str, torch.Size]) -> str:
    """A model's file to fill in, which lists what the checkpoint holds."""
    listed = "\n".join(f"    {name}: {tuple(shape)}" for name, shape in list(shapes.items())[:40])
    return (
        '"""The model that plan.toml audits: build it as your training does. The checkpoint holds\n\n'
        f'{listed}\n"""\n\nfrom torch import nn\n\n\n'
        "def build(num_classes: int, input_shape: tuple[int, ...]) -> nn.Module:\n"
        '    """The untrained architecture: inputs (N, *input_shape) in, logits (N, num_classes) out."""\n'
        '    raise NotImplementedError("build your model here, e.g.  return MyNet(num_classes)")\n'
    )


def shapes(weights: Path) -> dict[str, torch.Size]:
    """Names and shapes in a checkpoint, without the prefixes that wrappers put before all of them."""
    found = checkpoints.read(weights, "--weights").tensors
    for prefix in ("module.", "model."):
        if found and all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    return {name: tensor.shape for name, tensor in found.items() if isinstance(tensor, Tensor)}


def _classes(shapes: Mapping[str, torch.Size]) -> int | None:
    heads = [shape[0] for name, shape in shapes.items() if len(shape) == 2 and name.endswith("weight")]
    return heads[-1] if heads else None


def _data(folder: Path, data: Path | None) -> Iterator[str]:
    if data is None:
        yield 'source = "digits"  # replace: "folder:PATH", "npz:PATH", "csv:PATH", "my_data.py:load", …'
        return
    if not data.exists():
        raise PlanError(f"--data {data}: no such file or folder")
    where = _relative(data, folder)
    kinds = Counter(file.suffix.lower() for file in (data.rglob("*") if data.is_dir() else [data]))
    if data.is_file() and data.suffix == ".npz":
        yield f"source = {_toml(f'npz:{where}')}"
        yield from _npz(data)
    elif kinds[".parquet"] or kinds[".csv"]:
        kind = "parquet" if kinds[".parquet"] else "csv"
        yield f"source = {_toml(f'{kind}:{where}')}"
        yield '# label = "…"          # the column of the label, if it is not label, target, class or y'
        yield "# bounds = [0, 1]      # the smallest and largest value of any feature"
    elif data.is_dir():
        yield f"source = {_toml(f'folder:{where}')}"
        yield from _folder(data)
    else:
        raise PlanError(f"--data {data}: want a folder of images, or a .npz, .csv or .parquet file")


def _npz(path: Path) -> Iterator[str]:
    try:
        with np.load(path, allow_pickle=False) as held:
            x = held["x_test"] if "x_test" in held.files else None
    except (OSError, ValueError) as error:
        raise PlanError(f"--data {path}: cannot be read: {error}") from None
    if x is not None and x.dtype != np.uint8 and x.size:
        low, high = float(np.floor(x.min())), float(np.ceil(x.max()))
        if low < 0 or high > 1:
            yield f"bounds = [{low:g}, {high:g}]  # as found: say what an input may be"


def _folder(path: Path) -> Iterator[str]:
    there = {split: next((n for n in names if (path / n).is_dir()), None) for split, names in NAMES.items()}
    if there["test"] is None:
        raise PlanError(
            f"--data {path}: has no folder for held-out images ({', '.join(NAMES['test'])}): want "
            "PATH/test/CLASS/IMAGE"
        )
    if other := {split: name for split, name in there.items() if name not in (None, split)}:
        yield (
            "splits = { " + ", ".join(f"{split} = {_toml(str(name))}" for split, name in other.items()) + " }"
        )
    test = path / str(there["test"])
    names = sorted(entry.name for entry in test.iterdir() if entry.is_dir())
    yield f"# {len(names)} classes: {', '.join(names[:8])}{', …' if len(names) > 8 else ''}"
    sizes: Counter[tuple[int, int]] = Counter()
    modes: Counter[str] = Counter()
    for file in sorted(test.rglob("*"))[:: max(1, sum(1 for _ in test.rglob("*")) // SAMPLE)]:
        try:
            with Image.open(file) as image:
                sizes[image.size] += 1
                modes[image.mode] += 1
        except (UnidentifiedImageError, OSError):
            continue
    if len(sizes) > 1:
        small = min(min(size) for size in sizes)
        side = 224 if small >= 64 else 32
        yield f"resize = {side + side // 7}  # {len(sizes)} sizes among those looked at: as in your training"
        yield f"crop = {side}"
    if len(modes) > 1 or set(modes) - {"L", "RGB"}:
        yield 'mode = "RGB"'


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()


def _toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
