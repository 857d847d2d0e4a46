"""What pruning costs, and what it saves: torchvision's ResNets with random weights, on one thread.

    python benchmarks/pruning_speed.py

Each interleaved in this one run. ResNet-50: global magnitude to 80% beside
``torch.nn.utils.prune.global_unstructured``; units by L2 norm beside torch-pruning's importance and pruner
(three tenths of the channels, about half of the parameters), ours with its check that removed equals zeroed;
the other allocations beside global. ResNet-18: SynFlow's scores for single weights at 64 × 64; latency with
half the parameters physically removed, and with as many set to zero, beside dense, and the multiply-adds; a
sweep of six sparsities by a criterion that looks at data, scored once and scored six times. Times are of the
processor, except latency. Exits with 1 if ours is the slower in one of the first two, or SynFlow takes ten
seconds.
"""

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable, Mapping

import torch
import torch_pruning
from torch import nn
from torch.nn.utils import prune as torch_prune

from audit.subject import vision
from pruning import measure, prunable, scoring
from pruning.methods import resolve
from pruning.modes import one_thread
from pruning.prune import prune
from pruning.sample import Sample

SPARSITIES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98)


def main() -> None:
    """Measure all three and print medians and ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="times to run each side; medians count (7)")
    parser.add_argument("--image", type=int, default=224, help="height and width of the input (224)")
    options = parser.parse_args()
    torch.manual_seed(0)
    model, large = (vision.model(name, 1000)().eval() for name in ("resnet18", "resnet50"))
    image = torch.rand(1, 3, options.image, options.image)
    with one_thread():
        slower = against_torch(large, image, options.rounds)
        slower |= against_torch_pruning(large, image, options.rounds)
        allocations(large, image, max(1, options.rounds // 3))
        slower |= synflow(model)
        removal(model, image, 10 * options.rounds)
        sweep(model, options.image, options.rounds)
    sys.exit(int(slower))


def against_torch(model: nn.Module, image: torch.Tensor, rounds: int) -> bool:
    """Global magnitude by both; returns whether ours is the slower. Both prune a copy of their own."""
    _, recipe = resolve("global-magnitude")
    kept: dict[str, list[torch.Tensor]] = {}

    def ours() -> None:
        pruned = prune(model, recipe, 0.8, example_input=image, generator=torch.Generator())
        kept["ours"] = list(pruned.masks.values())

    def theirs() -> None:
        own = copy.deepcopy(model)
        layers = list(prunable.layers(own).values())
        torch_prune.global_unstructured(
            [(layer, "weight") for layer in layers], torch_prune.L1Unstructured, amount=0.8
        )
        kept["torch"] = [layer.get_buffer("weight_mask").bool() for layer in layers]

    times = interleaved({"ours": ours, "torch": theirs}, rounds)
    pairs = list(zip(kept["ours"], kept["torch"], strict=True))
    differ = sum(int((a != b).sum()) for a, b in pairs)
    emptied = sum(not b.any() for _, b in pairs)
    print("Global magnitude of ResNet-50 to 80%, a copy of the model included")
    note = f"masks differ in {differ} weights; of {emptied} layers, which torch empties, ours keep one weight"
    report(times, "torch", note)
    return times["ours"] > times["torch"]


def against_torch_pruning(model: nn.Module, image: torch.Tensor, rounds: int) -> bool:
    """Units by both, a copy of the model included; returns whether ours is the slower."""
    _, recipe = resolve("filter-l2")

    def ours() -> None:
        prune(model, recipe, 0.5, example_input=image, generator=torch.Generator())

    def theirs() -> None:
        own = copy.deepcopy(model)
        head = [own.get_submodule("fc")]
        importance = torch_pruning.importance.GroupMagnitudeImportance(p=2)
        torch_pruning.pruner.BasePruner(own, image, importance, pruning_ratio=0.3, ignored_layers=head).step()

    times = interleaved({"ours": ours, "torch-pruning": theirs}, rounds)
    print("\nUnits of ResNet-50 by L2 norm, half of the parameters")
    report(times, "torch-pruning", "")
    return times["ours"] > times["torch-pruning"]


def allocations(model: nn.Module, image: torch.Tensor, rounds: int) -> None:
    """Magnitude to 80% by allocations other than one ranking."""

    def by(name: str) -> Callable[[], None]:
        recipe = resolve({"allocation": name})[1]
        return lambda: void(prune(model, recipe, 0.8, example_input=image, generator=torch.Generator()))

    times = interleaved({name: by(name) for name in ("global", "uniform", "erk", "lamp")}, rounds)
    print("\nMagnitude of ResNet-50 to 80%")
    report(times, "global", "")


def synflow(model: nn.Module) -> bool:
    """SynFlow in a hundred rounds, once; returns whether it takes ten seconds."""
    image = torch.rand(1, 3, 64, 64)
    recipe = resolve("synflow")[1]
    start = time.process_time()
    scoring.score(model, recipe, example_input=image, generator=torch.Generator())
    seconds = time.process_time() - start
    print(f"\nSynFlow for single weights of ResNet-18 at 64 × 64: {seconds:.1f} s")
    return seconds >= 10


def void(_: object) -> None:
    """What a timed call returns is not kept."""


def removal(model: nn.Module, image: torch.Tensor, rounds: int) -> None:
    """Half the parameters gone: really removed, and only set to zero."""
    models = {"dense": model}
    for name, method in (("removed", "filter-l2"), ("zeroed", "global-magnitude")):
        generator = torch.Generator()
        models[name] = prune(model, resolve(method)[1], 0.5, example_input=image, generator=generator).model
    found = measure.latency(models, image, rounds=max(rounds, 6))
    dense = measure.size(model, image)
    print("\nHalf the prunable parameters gone, latency of one image")
    for name, pruned in models.items():
        size, time_ = measure.size(pruned, image), found[name]
        left, macs, gain = size.nonzero_prunable / 1e6, size.macs / 1e6, dense.macs / size.macs
        speed = found["dense"].median_ms / time_.median_ms
        print(
            f"  {name:8} {left:5.1f} M weights left, {macs:6.0f} M multiply-adds ({gain:.2f}× fewer), "
            f"{time_.median_ms:6.1f} ms [{time_.low_ms:.1f}, {time_.high_ms:.1f}], {speed:.2f}× as fast"
        )


def sweep(model: nn.Module, side: int, rounds: int) -> None:
    """Six sparsities by Taylor: scores found once and reused, or found for each."""
    _, recipe = resolve("taylor")
    x = torch.rand(16, 3, min(side, 64), min(side, 64))
    sample = Sample(x, torch.arange(len(x)))

    def once() -> None:
        generator = torch.Generator()
        found = scoring.score(model, recipe, example_input=x[:1], generator=generator, sample=sample)
        for sparsity in SPARSITIES:
            known = {recipe.basis: found}
            prune(model, recipe, sparsity, example_input=x[:1], generator=generator, known=known)

    def each() -> None:
        for sparsity in SPARSITIES:
            prune(model, recipe, sparsity, example_input=x[:1], generator=torch.Generator(), sample=sample)

    times = interleaved({"once": once, "each": each}, max(1, rounds // 3))
    print(f"\nTaylor on {len(x)} examples to {len(SPARSITIES)} sparsities, scored once or each time")
    report(times, "each", "")


def interleaved(work: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Median seconds of the processor of each, run in turn; one untimed round first."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for round_ in range(rounds + 1):
        for name, function in work.items():
            start = time.process_time()
            function()
            if round_:
                times[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def report(times: Mapping[str, float], reference: str, note: str) -> None:
    """Medians, and each as a multiple of the reference."""
    for name, seconds in times.items():
        print(f"  {name:8} {seconds:7.3f} s, {times[reference] / seconds:.2f}× as fast as {reference}")
    if note:
        print(f"  {note}")


if __name__ == "__main__":
    main()
