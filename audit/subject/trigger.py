"""The trigger of a suspected backdoor: a function of the user's, or inputs that carry it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attacks.probe import Triggered
from audit.errors import RefusedError
from audit.plan import Plan
from audit.subject.code import function_of
from audit.subject.data import Data

KEY = "[probes.tampering] trigger"


def trigger(plan: Plan, data: Data) -> Callable[[], Triggered] | None:
    """What makes the triggered inputs, or None where the plan names no trigger.

    A function is handed copies of the audit inputs that are not of the class its attacker wants. Raises as
    :func:`audit.subject.code.function_of`; what is made raises RefusedError where it is not fit.
    """
    settings = plan.probes.get("tampering", {})
    spec = settings.get("trigger")
    if spec is None:
        return None
    if ":" not in spec:
        return lambda: _read(plan.path(Path(spec)), spec, data)
    function = function_of(plan, spec, KEY)
    return lambda: _made(function, spec, int(settings["trigger_class"]), data)


def _made(function: Callable[..., Any], spec: str, wanted: int, data: Data) -> Triggered:
    if wanted >= len(data.classes):
        raise RefusedError(
            f"[probes.tampering] trigger_class {wanted}: there are {len(data.classes)} classes"
        )
    others = data.test[data.test.y != wanted]
    if not len(others):
        raise RefusedError(f"{KEY} {spec!r}: every audit example is of class {wanted} already")
    try:
        found = function(others.x.clone())
    except Exception as error:  # the user's own code
        raise RefusedError(f"{KEY} {spec!r}: raises {type(error).__name__}: {error}") from error
    x = _inputs(found, spec, data)
    if len(x) != len(others):
        raise RefusedError(f"{KEY} {spec!r}: made {len(x)} inputs of {len(others)}")
    return Triggered(x, torch.full((len(x),), wanted), others.x)


def _read(path: Path, spec: str, data: Data) -> Triggered:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            arrays: Mapping[str, NDArray[Any]] = {name: held[name] for name in held.files}
    except FileNotFoundError:
        raise RefusedError(f"{KEY} {spec!r}: {path}: no such file") from None
    except Exception as error:  # zipfile.BadZipFile, pickles, a plain npy file: whatever is no npz
        raise RefusedError(
            f"{KEY} {spec!r}: {path}: cannot be read as npz without pickles: {error}"
        ) from None
    if not {"x", "y"} <= set(arrays):
        raise RefusedError(
            f"{KEY} {spec!r}: must hold x (triggered inputs) and y (the class wanted for each); it holds "
            f"{', '.join(arrays) or 'nothing'}"
        )
    x, y = _inputs(arrays["x"], spec, data), arrays["y"]
    clean = _inputs(arrays["clean"], spec, data) if "clean" in arrays else None
    if y.shape != (len(x),) or not np.issubdtype(y.dtype, np.integer):
        raise RefusedError(f"{KEY} {spec!r}: y is {y.dtype} {y.shape}: want one class, an integer, an input")
    if len(x) and not (y.min() >= 0 and y.max() < len(data.classes)):
        raise RefusedError(f"{KEY} {spec!r}: y spans {y.min()}–{y.max()}: want 0 to {len(data.classes) - 1}")
    if clean is not None and len(clean) != len(x):
        raise RefusedError(f"{KEY} {spec!r}: clean holds {len(clean)} inputs, x {len(x)}")
    return Triggered(x, torch.from_numpy(y.astype(np.int64)), clean)


def _inputs(found: Any, spec: str, data: Data) -> Tensor:
    """Inputs as the model takes them: uint8 scaled to [0, 1] as those of the data are; within the bounds."""
    array = found.detach().cpu().numpy() if isinstance(found, Tensor) else np.asarray(found)
    shape = tuple(data.test.x.shape[1:])
    if array.shape[1:] != shape or not array.shape or not len(array):
        raise RefusedError(f"{KEY} {spec!r}: inputs of shape {array.shape}: want at least one of {shape}")
    if not (np.issubdtype(array.dtype, np.floating) or array.dtype == np.uint8):
        raise RefusedError(f"{KEY} {spec!r}: inputs are of type {array.dtype}: want uint8 or float")
    if array.dtype == np.uint8:
        array = array / np.float32(255)
    x = torch.from_numpy(np.array(array, dtype=np.float32))
    low, high = data.bounds
    if not bool(torch.isfinite(x).all()) or float(x.min()) < low or float(x.max()) > high:
        raise RefusedError(f"{KEY} {spec!r}: inputs leave [data] bounds [{low:g}, {high:g}], or hold NaN")
    return x
