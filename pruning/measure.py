"""What a model costs: parameters, multiply-adds, and time measured side by side."""

import math
import tempfile
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from pruning import prunable, storage
from pruning.compressed import unsigned_zeros
from pruning.errors import PruningError
from pruning.modes import evaluating, one_thread
from pruning.removal import Removal


@dataclass(frozen=True, slots=True)
class Size:
    """Counts; ``prunable`` ones are those of ``pruning.prunable``. MACs are for one example."""

    parameters: int
    nonzero_parameters: int
    prunable: int
    nonzero_prunable: int
    macs: int
    """Multiply-adds of convolutions and matrix products (biases, norms, activations not counted)."""
    nonzero_macs: int
    """The same without those whose weight is zero: what perfect sparse kernels would do."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of one forward pass: the median of n, and a 95% interval of the median."""

    median_ms: float
    low_ms: float
    high_ms: float
    n: int


def size(model: nn.Module, example_input: Tensor) -> Size:
    """Count a model's parameters (tied ones once) and its multiply-adds in eval mode.

    ``example_input``: (N, …), of which the first is run.
    """
    prunable.watch(model, example_input)
    parameters = list(model.parameters())
    weights = list(prunable.every(model).values())
    skipped = [0]
    hooks = [
        layer.register_forward_hook(partial(_count_zeros, skipped))
        for layer in model.modules()
        if isinstance(layer, prunable.LAYERS)
    ]
    counter = FlopCounterMode(display=False)
    fused = torch.backends.mha.get_fastpath_enabled()
    # of torch's fused attention no product is counted
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with evaluating(model), torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
            model(example_input[:1])
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for hook in hooks:
            hook.remove()
    macs = counter.get_total_flops() // 2  # two floating-point operations per multiply-add
    return Size(
        parameters=sum(p.numel() for p in parameters),
        nonzero_parameters=sum(int(p.count_nonzero()) for p in parameters),
        prunable=sum(w.numel() for w in weights),
        nonzero_prunable=sum(int(w.count_nonzero()) for w in weights),
        macs=macs,
        nonzero_macs=macs - skipped[0],
    )


def layer_sparsity(model: nn.Module, dense: Mapping[str, int]) -> dict[str, float]:
    """By layer, in the model's order: the share of the dense layer's weights that is gone, or zero.

    ``dense``: layer → its prunable weights in the dense model; a layer that it does not name is left out.
    """
    return {
        layer: 1 - int(weight.count_nonzero()) / dense[layer]
        for name, weight in prunable.every(model).items()
        if (layer := prunable.layer_of(name)) in dense
    }


def file_sizes(model: nn.Module, path: Path, history: Sequence[Removal] = ()) -> dict[str, int]:
    """Bytes of a model's file, which is ``path``: as it is, gzipped, and stored compressed instead.

    The compressed file is really written, read back and compared. Raises PruningError if one bit differs, and
    OSError if it cannot be written.
    """
    squeezed = zlib.compressobj(level=6, wbits=31)  # what gzip does
    with path.open("rb") as file:
        gzipped = sum(len(squeezed.compress(block)) for block in iter(lambda: file.read(1 << 20), b""))
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "compressed.safetensors"
        storage.save(model, other, history, compressed=True)
        before, after = storage.read(path), storage.read(other)
        if before[0] != after[0] or not storage.same(unsigned_zeros(before[1]), after[1]):
            raise PruningError(f"{path}: what was stored compressed is not what was read back")
        compressed = other.stat().st_size
    return {
        "dense": path.stat().st_size,
        "gzip": gzipped + len(squeezed.flush()),
        "compressed": compressed,
    }


def latency(
    models: Mapping[str, nn.Module], example_input: Tensor, *, rounds: int = 100, warm_up: int = 10
) -> dict[str, Latency]:
    """Time forward passes of several models in turn, so that they share whatever else the machine does.

    One thread, eval mode, inference mode; the thread count is restored. ``example_input``: (N, …), run whole:
    give one example for its latency. ``rounds``: timed passes per model, at least 6 (fewer give no 95%
    interval of a median, which is taken from order statistics); ``warm_up``: untimed passes before.
    Raises ValueError on fewer rounds.
    """
    if rounds < 6:
        raise ValueError(f"a 95% interval of a median needs at least 6 rounds, got {rounds}")
    times: dict[str, list[float]] = {name: [] for name in models}
    turns = list(models.items())
    with one_thread(), evaluating(*models.values()), torch.inference_mode():
        for turn in range(warm_up + rounds):
            for name, model in turns:
                start = time.perf_counter_ns()
                model(example_input)
                if example_input.is_cuda:
                    torch.cuda.synchronize(example_input.device)
                if turn >= warm_up:
                    times[name].append((time.perf_counter_ns() - start) / 1e6)
            turns.append(turns.pop(0))  # each model comes first as often as any other
    return {name: _median(sorted(values)) for name, values in times.items()}


def _median(values: list[float]) -> Latency:
    """Median and its exact binomial interval: of n sorted values the r-th and the (n + 1 − r)-th.

    r is the largest with P(Binomial(n, ½) < r) ≤ 2.5%.
    """
    n = len(values)
    rank, tail = 0, 1  # tail: 2**n times the chance of at most `rank` values below the median
    while 40 * tail <= 2**n:
        rank += 1
        tail += math.comb(n, rank)
    median = (values[(n - 1) // 2] + values[n // 2]) / 2
    return Latency(median, values[rank - 1], values[n - rank], n)


def _count_zeros(skipped: list[int], layer: nn.Module, _inputs: tuple[object, ...], output: Tensor) -> None:
    """Add the multiply-adds of a layer's zero weights: each weight is used once per output position."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    zeros = weight.numel() - int(weight.count_nonzero())
    skipped[0] += zeros * (output.numel() // weight.shape[0])
