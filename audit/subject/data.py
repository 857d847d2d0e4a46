"""The subject's data: loaded from any of five sources, checked, and split among auditor and attackers."""

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from attacks.probe import Examples
from audit.errors import AuditError, PlanError, RefusedError
from audit.plan import DataPlan, Plan, Split
from audit.subject import folder, tables, torch_data, vision
from audit.subject.code import function_of
from audit.subject.folder import Arrays
from audit.subject.reading import Reading

MOST_CLASSES = 1_000_000
"""Beyond it a label is not the number of a class."""


@dataclass(frozen=True, slots=True)
class Data:
    """The subject's examples. Inputs are float32 in ``bounds``, labels int64 in [0, len(classes))."""

    train: Examples | None
    """What the model is trained on: the members. None where the plan's data has no train pair."""
    test: Examples
    """What accuracy and evasion are measured on."""
    pool: Examples | None
    """The other held-out examples, unused training examples among them: the extraction attacker's own
    data."""
    classes: tuple[str, ...]
    bounds: tuple[float, float]
    digest: str
    """SHA-256 of all of the above."""
    notes: tuple[str, ...] = ()
    """What was found on the way, for people."""

    @property
    def heldout(self) -> Examples:
        """All examples that the model never saw."""
        if self.pool is None:
            return self.test
        return Examples(torch.cat([self.test.x, self.pool.x]), torch.cat([self.test.y, self.pool.y]))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch."""
        return tuple(self.test.x.shape[1:])


def load(plan: Plan) -> Data:
    """Load, check and split the plan's data. Raises PlanError (a wrong key) or RefusedError (bad data)."""
    reading = Reading(plan.data)
    arrays, classes, notes = _read(plan, reading)
    if "test" not in arrays:
        raise RefusedError(f"[data] source {plan.data.source!r}: has no test examples")
    arrays = {split: _some(split, x, y, reading) for split, (x, y) in arrays.items()}
    checked = {split: _check(split, x, y, plan.data) for split, (x, y) in arrays.items()}
    shapes = {split: tuple(examples.x.shape[1:]) for split, examples in checked.items()}
    if len(set(shapes.values())) > 1:
        raise RefusedError(
            f"[data] source {plan.data.source!r}: train and test inputs differ in shape: {shapes}"
        )
    highest = max(int(examples.y.max()) for examples in checked.values())
    if highest >= MOST_CLASSES:
        raise RefusedError(
            f"[data] source {plan.data.source!r}: label {highest} is out of range: labels are the numbers of "
            "classes, from 0 on"
        )
    classes = tuple(classes) or tuple(str(i) for i in range(highest + 1))
    if highest >= len(classes):
        raise RefusedError(
            f"[data] source {plan.data.source!r}: label {highest} is out of range: "
            f"there are {len(classes)} classes"
        )
    if plan.data.class_order:
        checked, classes = _reordered(checked, classes, plan.data.class_order)
    train, heldout = checked.get("train"), _shuffled(checked["test"])
    if train is not None and plan.data.train_examples is not None:
        if plan.data.train_examples > len(train):
            raise PlanError(
                f"[data] train_examples is {plan.data.train_examples}, but there are only {len(train)}"
            )
        if plan.model.given:
            raise PlanError(
                "[data] train_examples selects what the model is trained on, but [model] weights is trained "
                "already: remove one of the two"
            )
        train, unused = _split(_shuffled(train), plan.data.train_examples)
        heldout = Examples(torch.cat([heldout.x, unused.x]), torch.cat([heldout.y, unused.y]))
    test, rest = _split(heldout, plan.data.audit_examples)
    return Data(
        train=train,
        test=test,
        pool=rest if len(rest) else None,
        classes=classes,
        bounds=plan.data.bounds,
        digest=_digest(train, test, rest, classes, plan.data.bounds),
        notes=(*notes, *reading.notes),
    )


def _read(plan: Plan, reading: Reading) -> tuple[Arrays, Sequence[str], Sequence[str]]:
    """The source's arrays; its classes, where it names them; what is to be told of it."""
    kind, _, rest = plan.data.source.partition(":")
    root = plan.path(plan.data.root)
    _images_only(plan.data, kind)
    if plan.data.source == "digits" or (kind == "torchvision" and rest):
        given, classes = _digits() if not rest else vision.dataset(rest, root, download=plan.data.download)
        return {split: (folder.again(x, plan.data), y) for split, (x, y) in given.items()}, classes, ()
    if kind == "folder" and rest:
        return folder.read(root / rest, plan.data, reading)
    if kind in ("csv", "parquet") and rest:
        return tables.read(kind, root / rest, plan.data)
    if kind == "npz" and rest:
        return _npz(root / rest), (), ()
    if rest and (kind.endswith(".py") or kind.replace(".", "").isidentifier()):
        found = _called(plan)
        classes = found.get("classes", ()) if isinstance(found, Mapping) else ()
        return _named(found, plan.data.source, reading), [str(name) for name in classes], ()
    raise PlanError(
        f"[data] source {plan.data.source!r}: must be 'digits', 'torchvision:NAME', 'folder:PATH', "
        "'npz:PATH', 'csv:PATH', 'parquet:PATH' or 'FILE.py:FUNCTION'"
    )


def _some(
    split: str, x: NDArray[Any], y: NDArray[Any], reading: Reading
) -> tuple[NDArray[Any], NDArray[Any]]:
    """What is to be read of arrays that are there whole; as they are where it was read already."""
    if not x.ndim or len(x) != len(y):
        return x, y  # the check says what is wrong
    numbers = reading.chosen("train" if split == "train" else "test", len(x))
    return (x, y) if len(numbers) == len(x) else (x[list(numbers)], y[list(numbers)])


def _images_only(plan: DataPlan, kind: str) -> None:
    """Raises PlanError for a key about images that this source would not heed."""
    heeded = {"folder": 3, "parquet": 3, "digits": 2, "torchvision": 2}.get(kind, 0)
    for key in ("resize", "crop", "mode")[heeded:]:
        if getattr(plan, key) is not None:
            raise PlanError(f"[data] {key}: does nothing with source {plan.source!r}; remove it")


def _called(plan: Plan) -> Any:
    """What the user's function returns; raises RefusedError for what it raises."""
    function = function_of(plan, plan.data.source, "[data] source")
    try:
        return function()
    except AuditError:
        raise
    except Exception as error:  # the user's own code
        raise RefusedError(
            f"[data] source {plan.data.source!r}: raises {type(error).__name__}: {error}; it is called "
            "without arguments, in the plan's folder"
        ) from error


def _reordered(
    checked: Mapping[str, Examples], classes: tuple[str, ...], order: tuple[str, ...]
) -> tuple[dict[str, Examples], tuple[str, ...]]:
    """The examples with labels that count in the wanted order of classes."""
    if sorted(order) != sorted(classes):
        raise PlanError(
            f"[data] class_order: must hold each class once: {', '.join(classes)} (it has {', '.join(order)})"
        )
    place = torch.tensor([order.index(name) for name in classes])
    return {split: Examples(part.x, place[part.y]) for split, part in checked.items()}, order


def _digits() -> tuple[Arrays, Sequence[str]]:
    """scikit-learn's 1 797 handwritten digits, 1×8×8, scaled to [0, 1]; a fixed half is for training."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = (digits.images[:, None] / 16).astype(np.float32)
    y = digits.target.astype(np.int64)
    order = np.random.default_rng(0).permutation(len(y))
    train, test = order[:900], order[900:]
    return {"train": (x[train], y[train]), "test": (x[test], y[test])}, [str(i) for i in range(10)]


def _npz(path: Path) -> Arrays:
    """An npz file with x_test, y_test and, where known, x_train, y_train. Pickled arrays are refused."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            return _named({name: held[name] for name in held.files}, str(path), None)
    except FileNotFoundError:
        raise RefusedError(f"[data] source: {path}: no such file") from None
    except (OSError, ValueError, EOFError) as error:
        raise RefusedError(f"[data] source: {path}: cannot be read as npz without pickles: {error}") from None
    except Exception as error:  # zipfile.BadZipFile, zlib.error: a damaged archive
        raise RefusedError(f"[data] source: {path}: damaged: {error}") from None


def _named(value: Any, source: str, reading: Reading | None) -> Arrays:
    """What a function or an npz file gives, as splits: {"x_train": …, "y_train": …, "x_test": …, …};
    or {"train": …, "test": …}, or a pair of the two, of torch's data sets or loaders."""
    where = f"[data] source {source!r}"
    if isinstance(value, tuple) and len(value) == 2:
        value = {"train": value[0], "test": value[1]}
    if isinstance(value, Mapping) and "test" in value:
        both: tuple[Split, ...] = ("train", "test")
        return {
            split: torch_data.arrays(
                value[split],
                f"{where}, {split}",
                range if reading is None else functools.partial(reading.chosen, split),
            )
            for split in both
            if value.get(split) is not None
        }
    if not isinstance(value, Mapping) or not {"x_test", "y_test"} <= set(value):
        raise RefusedError(
            f"{where}: must hold x_test and y_test (and x_train, y_train where known); or train and test, "
            "each a torch Dataset or DataLoader"
        )
    if ("x_train" in value) != ("y_train" in value):
        raise RefusedError(f"{where}: x_train and y_train must come together")
    return {
        split: (np.asarray(value[f"x_{split}"]), np.asarray(value[f"y_{split}"]))
        for split in ("train", "test")
        if f"x_{split}" in value
    }


def _check(split: str, x: NDArray[Any], y: NDArray[Any], plan: DataPlan) -> Examples:
    """Examples fit for an audit, or RefusedError that says what is wrong with them."""
    where = f"[data] source {plan.source!r}, {split}"
    if x.ndim and len(x) == 0:
        raise RefusedError(f"{where}: is empty")
    if x.ndim < 2 or y.ndim != 1 or len(x) != len(y):
        raise RefusedError(f"{where}: inputs {x.shape} and labels {y.shape} do not fit: want N×… and N")
    if not np.issubdtype(x.dtype, np.number) or np.issubdtype(x.dtype, np.complexfloating):
        raise RefusedError(f"{where}: inputs are of type {x.dtype}: want uint8 or float")
    if not np.issubdtype(y.dtype, np.integer):
        raise RefusedError(f"{where}: labels are of type {y.dtype}: want integers from 0")
    if y.min() < 0:
        raise RefusedError(f"{where}: label {y.min()} is out of range: labels count from 0")
    if x.dtype == np.uint8:
        x = x.astype(np.float32) / np.float32(255)
    inputs = torch.from_numpy(np.array(x, dtype=np.float32))
    if not torch.isfinite(inputs).all():
        raise RefusedError(f"{where}: inputs hold NaN or infinity")
    low, high = float(inputs.min()), float(inputs.max())
    if low < plan.bounds[0] or high > plan.bounds[1]:
        raise RefusedError(
            f"{where}: inputs span [{low:g}, {high:g}], outside [data] bounds {list(plan.bounds)}: "
            "set bounds to the inputs' own units (uint8 images are scaled to [0, 1])"
        )
    return Examples(inputs, torch.from_numpy(y.astype(np.int64)))


def _shuffled(examples: Examples) -> Examples:
    """A fixed permutation: sources are often sorted by class, and a prefix must be a fair sample."""
    return examples[torch.randperm(len(examples), generator=torch.Generator().manual_seed(0))]


def _split(examples: Examples, count: int) -> tuple[Examples, Examples]:
    return examples[:count], examples[count:]


def _digest(
    train: Examples | None,
    test: Examples,
    rest: Examples,
    classes: tuple[str, ...],
    bounds: tuple[float, float],
) -> str:
    digest = hashlib.sha256(repr((classes, bounds)).encode())
    for part in (train, test, rest):
        if part is None:
            digest.update(b"none")
            continue
        for tensor in (part.x, part.y):
            digest.update(repr((tuple(tensor.shape), tensor.dtype)).encode())
            digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
