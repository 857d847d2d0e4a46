"""Tables: CSV and parquet files, and parquet files of images in Hugging Face's layout. All by pandas."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from audit.errors import PlanError, RefusedError
from audit.plan import DataPlan
from audit.subject import folder
from audit.subject.folder import Arrays

LABELS = ("label", "labels", "target", "class", "y")
"""Columns that are taken for the label where the plan does not say which."""
IMAGES = ("image", "img", "pixel_values")
SPLIT = "split"
"""The column of a single file that says which rows are ``train`` and which ``test``."""


def read(kind: str, path: Path, plan: DataPlan) -> tuple[Arrays, Sequence[str], list[str]]:
    """Inputs and labels by split; class names, where labels are words; what else is to be told.

    ``path``: one file with a column ``split``; or a folder with a file, or several files, a split, whose
    names begin with the split's. Raises PlanError and RefusedError.
    """
    frames = _frames(kind, path, plan)
    if "test" not in frames:
        raise RefusedError(
            f"[data] source: {path}: has no rows or files for the split test: name a file test.{kind}, give "
            'one file a column split with train and test in it, or say splits = { test = "…" }'
        )
    label = _label(frames["test"], plan, path)
    classes = _classes(frames, label, path)
    arrays = {}
    for split, frame in frames.items():
        if label not in frame:
            raise RefusedError(f"[data] source: {path}: {split} has no column {label!r}")
        y = frame[label]
        labels = (
            y.astype(str).map({name: i for i, name in enumerate(classes)}).to_numpy(np.int64)
            if classes
            else y.to_numpy()
        )
        arrays[split] = (_inputs(frame.drop(columns=label), plan, f"{path}, {split}"), labels)
    columns = [name for name in frames["test"] if name != label]
    told = f"label is column {label!r}; features: {', '.join(map(str, columns[:8]))}"
    return arrays, classes, [told + (f" and {len(columns) - 8} more" if len(columns) > 8 else "")]


def _frames(kind: str, path: Path, plan: DataPlan) -> dict[str, pd.DataFrame]:
    if path.is_dir():
        found = {}
        for split in ("train", "test"):
            begins = plan.splits.get(split, split)
            files = sorted(f for f in path.rglob(f"{begins}*.{kind}") if f.is_file())
            if files:
                found[split] = pd.concat([_frame(kind, file) for file in files], ignore_index=True)
        return found
    frame = _frame(kind, path)
    if SPLIT not in frame:
        raise RefusedError(
            f"[data] source: {path}: one file needs a column {SPLIT!r} that says train or test of each row, "
            f"or name a folder with train.{kind} and test.{kind}"
        )
    named = {split: plan.splits.get(split, split) for split in ("train", "test")}
    parts = {
        split: frame[frame[SPLIT].astype(str) == name].drop(columns=SPLIT) for split, name in named.items()
    }
    return {split: part for split, part in parts.items() if len(part)}


def _frame(kind: str, file: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(file) if kind == "csv" else pd.read_parquet(file)
    except FileNotFoundError:
        raise RefusedError(f"[data] source: {file}: no such file") from None
    except ImportError:
        raise PlanError(
            "[data] source: parquet files need pyarrow: pip install 'prune-audit[parquet]'"
        ) from None
    except Exception as error:  # of pandas or pyarrow: a damaged or foreign file
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RefusedError(f"[data] source: {file}: cannot be read as {kind}: {first}") from None


def _label(frame: pd.DataFrame, plan: DataPlan, path: Path) -> str:
    wanted = [plan.label] if plan.label else LABELS
    for name in wanted:
        if name in frame:
            return name
    have = ", ".join(map(str, list(frame)[:20]))
    raise RefusedError(
        f"[data] source: {path}: has no column {' or '.join(map(repr, wanted))}; it has {have}: say which "
        'holds the label, label = "…"'
    )


def _classes(frames: dict[str, pd.DataFrame], label: str, path: Path) -> list[str]:
    """Names of the classes where labels are words, sorted; none where they are numbers."""
    columns = [frame[label] for frame in frames.values() if label in frame]
    for column in columns:
        if missing := int(column.isna().sum()):
            raise RefusedError(f"[data] source: {path}: {missing} rows have no {label!r}")
    if all(pd.api.types.is_integer_dtype(column) for column in columns):
        return []
    return sorted({str(value) for column in columns for value in column})


def _inputs(frame: pd.DataFrame, plan: DataPlan, where: str) -> NDArray[Any]:
    """The features N×F; or, where a column holds images, N×C×H×W."""
    for name in IMAGES:
        if name in frame and len(frame) and isinstance(frame[name].iloc[0], dict | bytes):
            cells = [cell if isinstance(cell, bytes) else cell.get("bytes") for cell in frame[name]]
            if any(cell is None for cell in cells):
                raise RefusedError(f"[data] source: {where}: column {name!r} names files and holds no images")
            images = [
                folder.image(io.BytesIO(cell), plan, f"{where}, row {row}") for row, cell in enumerate(cells)
            ]
            if any(image.shape != images[0].shape for image in images):
                raise RefusedError(
                    f"[data] source: {where}: images differ in shape: say resize, crop and mode in [data]"
                )
            return folder.stacked(images)
    for head, column in frame.items():
        if not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)):
            raise RefusedError(
                f"[data] source: {where}: column {head!r} holds {column.iloc[0]!r}, no number: encode it as "
                "the model expects it, or leave it out"
            )
        if missing := int(column.isna().sum()):
            raise RefusedError(
                f"[data] source: {where}: column {head!r} lacks a value in {missing} rows: fill them as the "
                "model expects it, or leave them out"
            )
    return frame.to_numpy(np.float32)
