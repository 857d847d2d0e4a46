"""Which examples of a data set are read: all that memory holds, or a fixed random choice of them."""

from collections.abc import Sequence

import torch

from audit import machine
from audit.errors import RefusedError
from audit.plan import DataPlan, Split

BYTES = 8
"""Of an input value while it is read and checked: as it comes, and as float32."""


class Reading:
    """Chooses by the plan's ``[data] read``, and notes what was left unread."""

    def __init__(self, plan: DataPlan) -> None:
        self._most = plan.read
        self.notes: list[str] = []

    def chosen(self, split: Split, count: int) -> Sequence[int]:
        """Numbers of the examples to read of so many, in order; the same ones each time."""
        most = self._most.get(split, count)
        if most >= count:
            return range(count)
        what, rest = "held-out", ""
        if split == "train":
            what, rest = "training", "; fine-tuning and reference models have no others"
        self.notes.append(f"{most:,} of {count:,} {what} examples are read, a fixed random choice{rest}")
        order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
        return sorted(order[:most].tolist())


def fits(count: int, values: int, where: str) -> None:
    """Raises RefusedError where so many inputs of so many values are more than memory holds."""
    free, wanted = machine.available_memory(), count * values * BYTES
    if free is not None and wanted > free:
        raise RefusedError(
            f"{where}: {count:,} inputs of {values:,} values take {wanted / 1e9:.1f} GB of memory, and "
            f"{free / 1e9:.1f} GB are free: say how many to read, [data] read = {{ train = …, test = … }}"
        )
