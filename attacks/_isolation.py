"""Keeps libraries that draw from the global random generators apart from everyone else."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def draw_seed(generator: torch.Generator) -> int:
    """A seed in [0, 2³¹) drawn from the generator."""
    return int(torch.randint(2**31, (), generator=generator, device=generator.device))


@contextmanager
def global_seed(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed Python's, NumPy's and torch's global generators for a while; then put them back as they were.

    ``device``: the CUDA device whose generator is used too, if any.
    """
    python, numpy = random.getstate(), np.random.get_state()
    devices = [device] if device is not None and device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices):
            random.seed(seed)
            np.random.seed(seed % 2**32)
            torch.default_generator.manual_seed(seed)
            for cuda in devices:
                torch.cuda.default_generators[_index(cuda)].manual_seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _index(device: torch.device) -> int:
    return torch.cuda.current_device() if device.index is None else device.index
