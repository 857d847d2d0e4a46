"""A model file's manifest: the SHA-256 of every tensor and of its mask; and a file held against one."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from audit.errors import PlanError, RefusedError
from audit.unit import file_digest
from reports.data.ledger import canonical


class Entry(BaseModel):
    """One tensor. ``mask_sha256``: of one bit an element, set where any bit of it is; highest bit first."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    dtype: str
    shape: tuple[int, ...] = Field(strict=False)
    sha256: str
    mask_sha256: str
    nonzero: int


class Manifest(BaseModel):
    """What a model file holds, as it was when the manifest was written."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    prune_audit_manifest: int = Field(default=1, ge=1, le=1)
    """Version of this format."""
    file: str
    """The file's name, for people."""
    sha256: str
    """Of the whole file."""
    metadata_sha256: str
    """Of the header's metadata, among them the history of removals."""
    tensors: dict[str, Entry]


def of(path: Path) -> Manifest:
    """The manifest of a safetensors file. Raises RefusedError where it cannot be read."""
    if not path.is_file():
        raise RefusedError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = sorted(file.keys())
            tensors = {name: _entry(file.get_tensor(name)) for name in names}
        whole = file_digest(path)
    except (SafetensorError, OSError, UnicodeDecodeError) as error:
        raise RefusedError(
            f"{path}: is not a safetensors file, or its header is damaged: {error}; other kinds of "
            "checkpoint: first  prune-audit convert OLD NEW.safetensors"
        ) from None
    said = hashlib.sha256(canonical(metadata).encode()).hexdigest()
    return Manifest(file=path.name, sha256=whole, metadata_sha256=said, tensors=tensors)


def _entry(tensor: Tensor) -> Entry:
    raw = tensor.detach().contiguous().flatten().view(torch.uint8)
    some = raw.view(-1, tensor.element_size()).any(dim=1) if tensor.numel() else raw.bool()
    return Entry(
        dtype=str(tensor.dtype).removeprefix("torch."),
        shape=tuple(tensor.shape),
        sha256=hashlib.sha256(raw.numpy().tobytes()).hexdigest(),
        mask_sha256=hashlib.sha256(np.packbits(some.numpy()).tobytes()).hexdigest(),
        nonzero=int(some.sum()),
    )


def beside(model: Path) -> Path:
    """Where a run keeps the manifest of a model file."""
    return model.with_suffix(".manifest.json")


def write(model: Path, path: Path) -> None:
    """Write the manifest of a model file, whole or not at all; the same model, the same bytes.

    Raises RefusedError as :func:`of`.
    """
    text = json.dumps(of(model).model_dump(mode="json"), indent=2, sort_keys=True) + "\n"
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def read(path: Path) -> Manifest:
    """A manifest file. Raises PlanError where there is none, or it is none."""
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise PlanError(f"{path}: no such manifest") from None
    except OSError as error:
        raise PlanError(f"{path}: cannot be read: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PlanError(
            f"{path}: is not a manifest of prune-audit: {where + ': ' if where else ''}{first['msg']}"
        ) from None


def differences(model: Path, manifest: Manifest) -> list[str]:
    """In what a model file differs from a manifest: one sentence each, tensor by tensor; empty where not one
    bit does. Raises RefusedError as :func:`of`."""
    found = of(model)
    if found.sha256 == manifest.sha256 and found.tensors == manifest.tensors:
        return []
    if manifest.tensors and not found.tensors.keys() & manifest.tensors.keys():
        return [
            f"the manifest is of another model: none of its {len(manifest.tensors)} tensors is in the file"
        ]
    return list(_differ(found, manifest))


def _differ(found: Manifest, manifest: Manifest) -> Iterator[str]:
    ours, theirs = found.tensors, manifest.tensors
    yield from (f"{name} is missing" for name in theirs if name not in ours)
    yield from (f"{name} is not in the manifest" for name in ours if name not in theirs)
    for name in (name for name in theirs if name in ours):
        yield from _of_tensor(name, ours[name], theirs[name])
    if found.metadata_sha256 != manifest.metadata_sha256:
        yield "the metadata in the file's header differ (the history of removed units is among them)"
    if ours == theirs and found.metadata_sha256 == manifest.metadata_sha256:
        yield "the file is not the same byte for byte, though every tensor is: it was written anew"


def _of_tensor(name: str, ours: Entry, theirs: Entry) -> Iterator[str]:
    if (ours.dtype, ours.shape) != (theirs.dtype, theirs.shape):
        form = "{0.dtype} {0.shape}"
        yield f"{name} is {form.format(ours)}, and {form.format(theirs)} in the manifest"
    elif ours.sha256 != theirs.sha256 and ours.mask_sha256 != theirs.mask_sha256:
        yield f"{name} differs, its mask too: {ours.nonzero:,} values are not zero, not {theirs.nonzero:,}"
    elif ours.sha256 != theirs.sha256:
        yield f"{name} differs in its values; its mask is the same"
    elif ours != theirs:
        yield f"{name}: the manifest contradicts itself"
