"""torch's own data sets and loaders, as a user's function returns them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from audit.errors import RefusedError
from audit.subject.reading import fits

INPUTS = ("image", "pixel_values", "img", "x", "input", "inputs", "input_values")
LABELS = ("label", "labels", "y", "target")


def arrays(
    found: Any, where: str, chosen: Callable[[int], Sequence[int]] = range
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Inputs and labels of a Dataset (by index or iterable), a DataLoader, or a pair of arrays.

    ``chosen``: of so many items, the numbers of those to read; others are never asked for. Of a loader the
    data set is read, so that neither shuffling nor ``drop_last`` changes what is audited. Raises RefusedError
    for what cannot be read or is more than memory holds, and for what augments at random.
    """
    if isinstance(found, tuple) and len(found) == 2 and all(hasattr(part, "__len__") for part in found):
        return np.asarray(found[0]), np.asarray(found[1])
    if isinstance(found, DataLoader):
        found = found.dataset
    indexed = _indexed(found)
    try:
        numbers = chosen(len(found)) if indexed else ()
        items = (found[i] for i in numbers) if indexed else iter(found)
    except TypeError:
        raise RefusedError(
            f"{where}: is {type(found).__name__}: want a torch Dataset, a DataLoader or a pair of arrays"
        ) from None
    pairs = []
    for item in items:
        pairs.append(_pair(item, where))
        if len(pairs) == 1 and indexed:
            fits(len(numbers), pairs[0][0].size, where)
    if not pairs:
        raise RefusedError(f"{where}: is empty")
    if indexed and not np.array_equal(_pair(found[numbers[0]], where)[0], pairs[0][0]):
        raise RefusedError(
            f"{where}: gives another first input each time: it augments at random; give the data set "
            "without, or membership and pairs mean nothing"
        )
    shapes = {x.shape for x, _ in pairs}
    if len(shapes) > 1:
        raise RefusedError(f"{where}: inputs differ in shape: {sorted(map(str, shapes))[:3]}")
    return np.stack([x for x, _ in pairs]), np.asarray([y for _, y in pairs])


def _indexed(found: Any) -> bool:
    return hasattr(found, "__getitem__") and hasattr(found, "__len__")


def _pair(item: Any, where: str) -> tuple[NDArray[Any], Any]:
    """One example as (input, label)."""
    if isinstance(item, Mapping):
        x = next((item[name] for name in INPUTS if name in item), None)
        y = next((item[name] for name in LABELS if name in item), None)
    elif isinstance(item, tuple | list) and len(item) >= 2:
        x, y = item[0], item[1]
    else:
        x = y = None
    if x is None or y is None:
        raise RefusedError(
            f"{where}: its items are {type(item).__name__}: want (input, label) pairs, or mappings with one "
            f"of {', '.join(INPUTS)} and one of {', '.join(LABELS)}"
        )
    if hasattr(x, "convert"):  # a PIL image
        picture = np.asarray(x)
        x = picture[None] if picture.ndim == 2 else picture.transpose(2, 0, 1)
    label: Any = y.item() if isinstance(y, torch.Tensor) else y
    return np.asarray(x), label
