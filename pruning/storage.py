"""Models on disk: safetensors, with the history of removals as metadata. Never a pickle: a file runs no code.

A file is read back into a freshly built dense model, which is first made smaller by the history.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from pruning.compressed import Form, pack, unpack
from pruning.errors import PruningError
from pruning.removal import Removal, replay

_HISTORY = TypeAdapter(tuple[Removal, ...])
_ALIASES = TypeAdapter(dict[str, str])
_FORMS = TypeAdapter(dict[str, Form])


def save(model: nn.Module, path: Path, history: Sequence[Removal] = (), *, compressed: bool = False) -> None:
    """Write the model's state_dict, bit for bit, so that the file is there whole or not at all.

    ``history``: what :func:`pruning.prune.prune` returned for this model. A tied parameter is written once,
    its other names in the metadata. ``compressed``: zeros take no place (:mod:`pruning.compressed`). Raises
    PruningError if an entry of the state_dict is no tensor, and OSError if the file cannot be written.
    """
    save_state(model.state_dict(), path, history, compressed=compressed)


def save_state(
    state: Mapping[str, object], path: Path, history: Sequence[Removal] = (), *, compressed: bool = False
) -> None:
    """The same for a state_dict alone; its tensors are dense."""
    tensors: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    seen: dict[tuple[object, ...], str] = {}
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise PruningError(f"{name} in the state_dict is a {type(value).__name__}, not a tensor")
        first = seen.setdefault((value.data_ptr(), value.stride(), _form(value)), name)
        if first != name and value.numel():
            aliases[name] = first
        else:  # safetensors wants every tensor dense and in memory of its own
            tensors[name] = value.detach().clone(memory_format=torch.contiguous_format)
    metadata = {
        "format": "pt",
        "prune_audit.history": _HISTORY.dump_json(tuple(history)).decode(),
        "prune_audit.aliases": _ALIASES.dump_json(aliases).decode(),
    }
    if compressed:
        tensors, forms = pack(tensors)
        metadata["prune_audit.compressed"] = _FORMS.dump_json(forms).decode()
    write(tensors, path, metadata)


def write(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write a safetensors file, so that it is there whole or not at all; the same input, the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file(tensors, draft, metadata)
        _settle(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _settle(path: Path) -> None:
    """Sort the metadata in a file's header: safetensors writes it in a new order each time.

    So that the same model makes the same bytes, gzipped too.
    """
    with path.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        settled = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(settled) <= length:
            file.seek(8)
            file.write(settled.ljust(length))


def load(path: Path, build: Callable[[], nn.Module], example_input: Tensor) -> nn.Module:
    """The model of a file: ``build()`` made smaller by the file's history, with the file's weights.

    A plain safetensors file of a state_dict, without a history, is read too. ``example_input``: (N, …), to
    trace the removal. Raises PruningError on a missing, damaged or foreign file, and where names, shapes or
    dtypes differ from the model's, by name.
    """
    history, tensors = read(path)
    with torch.random.fork_rng(devices=[]):  # the initial weights are drawn in vain
        model = build()
    if history:
        try:
            model = replay(model, history, example_input)
        except PruningError as error:
            raise PruningError(f"{path} does not fit the model: {error}") from error
    expected = model.state_dict()
    problems = [f"no {name}" for name in expected if name not in tensors]
    problems += [f"{name} is not part of the model" for name in tensors if name not in expected]
    problems += [
        f"{name} is {_form(tensors[name])}, the model's is {_form(tensor)}"
        for name, tensor in expected.items()
        if name in tensors and _form(tensors[name]) != _form(tensor)
    ]
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise PruningError(f"{path} does not fit the model: {'; '.join(problems[:5])}{more}")
    model.load_state_dict(tensors)
    return model


def read(path: Path) -> tuple[tuple[Removal, ...], dict[str, Tensor]]:
    """A file's history and tensors, compressed ones as they were.

    Raises PruningError on a missing, damaged or foreign file.
    """
    if not path.is_file():
        raise PruningError(f"{path} does not exist")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError) as error:
        raise PruningError(f"{path} is not a safetensors file, or damaged: {error}") from error
    try:
        history = _HISTORY.validate_json(metadata.get("prune_audit.history", "[]"))
        aliases = _ALIASES.validate_json(metadata.get("prune_audit.aliases", "{}"))
        tensors = unpack(tensors, _FORMS.validate_json(metadata.get("prune_audit.compressed", "{}")))
        tensors |= {name: tensors[first] for name, first in aliases.items()}
    except (ValidationError, KeyError, PruningError) as error:
        raise PruningError(f"{path}: its metadata is damaged: {error}") from error
    return history, tensors


def same(some: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> bool:
    """Whether names, dtypes, shapes and every bit agree."""
    return some.keys() == others.keys() and all(
        _form(tensor) == _form(others[name]) and torch.equal(_raw(tensor), _raw(others[name]))
        for name, tensor in some.items()
    )


def _raw(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().flatten().view(torch.uint8)


def _form(tensor: Tensor) -> tuple[torch.dtype, tuple[int, ...]]:
    return tensor.dtype, tuple(tensor.shape)
