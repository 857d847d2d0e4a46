"""Reads weights as people have them: state dicts, wrapped and prefixed ones, and what other tools pruned.

No code of a file runs: what torch's ``weights_only`` cannot read is refused, with the lines that convert it.
Whatever had to be done to a file is told.
"""

import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from audit.errors import PlanError, RefusedError
from pruning import compressed, foreign, storage
from pruning.errors import PruningError
from pruning.removal import Removal

SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".tar")
MAIN = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights", "params")
"""Under which keys training checkpoints keep the weights; the first that is there is taken."""
WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Parts of names that torch.compile, FSDP and activation checkpointing put in, wherever they stand."""
DEPTH = 3
"""So many mappings deep a state dict is looked for."""
LARGE = 2**24
"""A tensor of so many values must have them: expanded ones could fill the memory."""
MOST = 2**31
"""A sparse tensor of more elements than this is not made dense."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An ordinary state dict, how its model came to be smaller, and what had to be done to the file."""

    tensors: dict[str, Tensor]
    history: tuple[Removal, ...] = ()
    told: tuple[str, ...] = ()


def read(path: Path, key: str, entry: str | None = None, strip_prefix: str | None = None) -> Checkpoint:
    """The state dict in a file. ``key``: the plan's, for errors.

    ``entry``: which of the file's entries holds it (``state_dict_ema``; parts joined by dots); by default the
    one that training scripts call the weights. ``strip_prefix``: what its names begin with; others are left
    out. Raises RefusedError for what is missing, unsafe, damaged or not a state dict.
    """
    where = f"{key}: {path}"
    if not path.is_file():
        raise RefusedError(f"{where}: no such file")
    if path.suffix not in SUFFIXES:
        raise RefusedError(
            f"{where}: refused, since loading a {path.suffix or 'bare'} file may run code; {remedy(path)}"
        )
    history: tuple[Removal, ...] = ()
    try:
        if path.suffix == ".safetensors":
            history, content = storage.read(path)
        else:
            content = _unpickled(path)
    except Exception as error:  # a hostile file can make a parser raise anything
        raise RefusedError(
            f"{where}: refused: it holds more than tensors, or is damaged ({_reason(error)}); {remedy(path)}"
        ) from None
    state, told = _state_dict(content, entry, where, path)
    try:
        found = next((value for value in _values(content) if foreign.is_history(value)), ())
        if found:
            history = foreign.history(found)
            told.append(f"torch-pruning's history was followed: {len(history)} steps")
        return _plain(Checkpoint(state, history, tuple(told)), strip_prefix, where)
    except PruningError as error:
        raise RefusedError(f"{where}: {error}") from None


def remedy(path: Path) -> str:
    """The lines that make a readable file of one that is not; they run the file's code, and say so."""
    load = "torch.jit.load({!r})" if _is_script(path) else "torch.load({!r}, 'cpu', weights_only=False)"
    return (
        "where you trust it, convert it:\n"
        "    import torch\n"
        f"    old = {load.format(str(path))}  # runs the file's own code\n"
        "    torch.save(old.state_dict() if hasattr(old, 'state_dict') else old['state_dict'], "
        f"{str(path.with_name(path.stem + '-state.pt'))!r})"
    )


def fitted(checkpoint: Checkpoint, own: Mapping[str, Tensor], where: str) -> Checkpoint:
    """The checkpoint with the names of a model's own state dict, where a prefix is all that parts them.

    Raises RefusedError where names that begin in different ways would fit.
    """
    wanted = [name for name in own if not name.endswith("num_batches_tracked")]
    names = checkpoint.tensors.keys()
    if not wanted or names >= set(wanted):
        return checkpoint
    ends = [name.removesuffix(wanted[0]) for name in names if name.endswith("." + wanted[0])]
    fitting = [prefix for prefix in ends if all(prefix + name in names for name in wanted)]
    if len(fitting) > 1:
        options = " or ".join(f"strip_prefix = {prefix!r}" for prefix in fitting)
        raise RefusedError(f"{where}: holds several models that fit: add {options} to its weights")
    if fitting:
        return _stripped(checkpoint, fitting[0])
    shared = _shared(wanted)
    if shared and all(name.removeprefix(shared) in names for name in wanted):
        renamed = {shared + name: tensor for name, tensor in checkpoint.tensors.items()}
        history = tuple(step.model_copy(update={"layer": shared + step.layer}) for step in checkpoint.history)
        return Checkpoint(renamed, history, (*checkpoint.told, f"{shared!r} put before its names"))
    return checkpoint


def dense(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Sparse tensors made dense, and -0.0 (which torch's pruner leaves) made 0.0."""
    plain = {name: t if t.layout == torch.strided else t.to_dense() for name, t in state.items()}
    return compressed.unsigned_zeros(plain)


def convert(old: Path, new: Path, entry: str | None, strip_prefix: str | None) -> tuple[str, ...]:
    """Write a checkpoint as a plain safetensors file, the history of its removals with it; what was done.

    Raises RefusedError as :func:`read`, PlanError if ``new`` exists or is not so named.
    """
    if new.suffix != ".safetensors" or new.exists():
        wrong = "exists already" if new.exists() else "is not named .safetensors"
        raise PlanError(f"{new}: {wrong}; choose another name")
    found = read(old, "convert", entry, strip_prefix)
    large = [name for name, t in found.tensors.items() if t.layout != torch.strided and t.numel() > MOST]
    if large:
        raise RefusedError(f"convert: {old}: {large[0]} is sparse, and too large to be made dense")
    try:
        storage.save_state(dense(found.tensors), new, found.history)
    except OSError as error:
        raise PlanError(f"{new}: cannot be written: {error}") from None
    return found.told


def hint(names: list[str]) -> str:
    """What to do about names of which all begin alike, and do not fit; empty if they do not."""
    shared = _shared(names)
    return f"; all its names begin with {shared!r}: try strip_prefix = {shared!r}" if shared else ""


def _unpickled(path: Path) -> Any:
    if _is_script(path):
        raise ValueError("TorchScript runs code when loaded")
    checked = torch.sparse.check_sparse_tensor_invariants()  # type: ignore[no-untyped-call]
    with warnings.catch_warnings(), checked:  # a sparse tensor that points beyond its shape is refused
        warnings.simplefilter("ignore")  # of an unusual pickle protocol: it is read safely, or refused
        return torch.load(path, map_location="cpu", weights_only=True)


def _is_script(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def _reason(error: Exception) -> str:
    """Why a file could not be read, in one line: without colours, and without torch's advice to run it."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    if found := re.search(r"GLOBAL ([\w.]+)", text):
        return f"it would call {found[1]}"
    first = (text.strip() or type(error).__name__).splitlines()[0]
    return re.sub(r"Weights only load failed\..*", "it holds what is no tensor", first)[:200]


def _state_dict(
    content: Any, entry: str | None, where: str, path: Path
) -> tuple[dict[str, Tensor], list[str]]:
    """The state dict of what a file holds, and what is to be told of the way there."""
    candidates = dict(_candidates(content))
    if entry is not None:
        if entry not in candidates:
            raise RefusedError(
                f"{where}: has no state dict under the key {entry!r}; {_listed(candidates) or 'it has none'}"
            )
        return candidates[entry], [f"its {entry!r} was taken"]
    inner = [name for name in candidates if name]
    main = sorted(
        (name.count("."), MAIN.index(last), name) for name in inner if (last := _last(name)) in MAIN
    )
    chosen = main[0][2] if main else inner[0] if len(inner) == 1 else "" if "" in candidates else None
    if chosen is None and inner:
        raise RefusedError(
            f"{where}: holds several state dicts; choose one by "
            f"weights = {{ file = {path.name!r}, key = … }}: {_listed(candidates)}"
        )
    if chosen is None:
        raise RefusedError(f"{where}: is not a state dict; {remedy(path)}")
    told = [f"its {chosen!r} was taken"] if chosen else []
    others = [name for name in inner if name != chosen]
    if others:
        told.append(f"not its {', '.join(map(repr, others[:5]))} (key = … takes another)")
    return candidates[chosen], told


def _candidates(content: Any, name: str = "", depth: int = DEPTH) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every state dict by the keys that lead to it, joined by dots: mappings from names to tensors.

    Numbers, texts and None beside the tensors (an epoch) are left out.
    """
    if not isinstance(content, Mapping) or not depth:
        return
    values = {str(key): value for key, value in content.items()}
    tensors = {key: value for key, value in values.items() if isinstance(value, Tensor)}
    rest = [value for value in values.values() if not isinstance(value, Tensor)]
    if tensors and all(value is None or isinstance(value, str | int | float) for value in rest):
        if not name or any(tensor.dim() > 1 for tensor in tensors.values()):  # not the best losses so far
            yield name, tensors
        return
    for key, value in values.items():
        if not key.startswith("optim"):
            yield from _candidates(value, f"{name}.{key}" if name else key, depth - 1)


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _listed(candidates: Mapping[str, object]) -> str:
    named = [repr(name) for name in candidates if name]
    return f"there are {', '.join(named[:8])}" if named else ""


def _values(content: Any) -> Iterator[Any]:
    if isinstance(content, Mapping):
        for value in content.values():
            yield value
            if isinstance(value, Mapping):
                yield from value.values()


def _plain(checkpoint: Checkpoint, strip_prefix: str | None, where: str) -> Checkpoint:
    """Without wrappers, masks and compressed forms. Raises PruningError where they do not fit together."""
    found = checkpoint
    names = {name: _unwrapped(name) for name in found.tensors}
    if any(name != plain for name, plain in names.items()):
        if len(set(names.values())) < len(names):
            raise PruningError(f"names that differ only by {', '.join(WRAPPERS)} hold two models")
        history = tuple(step.model_copy(update={"layer": _unwrapped(step.layer)}) for step in found.history)
        tensors = {names[name]: tensor for name, tensor in found.tensors.items()}
        found = Checkpoint(tensors, history, (*found.told, "torch's own wrappers taken out of its names"))
    if "n_averaged" in found.tensors and all(
        name.startswith("module.") for name in found.tensors if name != "n_averaged"
    ):  # torch.optim.swa_utils.AveragedModel
        tensors = {name: tensor for name, tensor in found.tensors.items() if name != "n_averaged"}
        found = replace(found, tensors=tensors, told=(*found.told, "they are averaged weights"))
    if strip_prefix is not None:
        if not any(name.startswith(strip_prefix) for name in found.tensors):
            raise PruningError(
                f"no name begins with strip_prefix {strip_prefix!r}; the first are "
                f"{', '.join(list(found.tensors)[:3])}"
            )
        found = _stripped(found, strip_prefix)
    for name, tensor in found.tensors.items():
        if wrong := _unfit(tensor):
            raise PruningError(f"{name} {wrong}")
    tensors, folded = foreign.folded(found.tensors)
    tensors, unpacked = foreign.unpacked(tensors)
    told = list(found.told)
    if folded:
        told.append(f"{len(folded)} masks of torch.nn.utils.prune folded in")
    if unpacked:
        told.append(f"{len(unpacked)} weights unpacked from compressed-tensors' bit masks")
    return replace(found, tensors=tensors, told=tuple(told))


def _unfit(tensor: Tensor) -> str:
    """What keeps a tensor from being a weight, in words; empty if nothing does."""
    if tensor.is_quantized:
        return "is quantised: give the weights from before quantisation"
    if tensor.device.type != "cpu":
        return f"has no values: it was saved on the device {tensor.device}"
    if tensor.layout != torch.strided or tensor.numel() < LARGE:
        return ""
    held = tensor.untyped_storage().nbytes()
    return "" if held >= tensor.numel() * tensor.element_size() else "claims more values than the file holds"


def _unwrapped(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def _stripped(checkpoint: Checkpoint, prefix: str) -> Checkpoint:
    tensors = {
        name.removeprefix(prefix): tensor
        for name, tensor in checkpoint.tensors.items()
        if name.startswith(prefix)
    }
    history = tuple(
        step.model_copy(update={"layer": step.layer.removeprefix(prefix)}) for step in checkpoint.history
    )
    told = f"{prefix!r} taken off its names"
    beyond = len(checkpoint.tensors) - len(tensors)
    if beyond:
        told += f", {beyond} others left out"
    return Checkpoint(tensors, history, (*checkpoint.told, told))


def _shared(names: list[str]) -> str:
    """The dotted prefix that all names share, dot included; empty if there is none."""
    parts = [name.split(".")[:-1] for name in names]
    shared = []
    for column in zip(*parts, strict=False):
        if len(set(column)) > 1:
            break
        shared.append(column[0])
    return ".".join(shared) + "." if shared else ""
