"""How a run scales: two workers against one, what engine and ledger cost, how fast a finished run resumes.

    python benchmarks/scale.py                 # all of it; some minutes on two cores that nothing else uses
    python benchmarks/scale.py --only overhead --units 100000

Exits with 1 where a wanted figure is missed.
"""

import argparse
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from io import StringIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from audit.cutting import AIM as UNIT_SECONDS
from audit.progress import Monitor
from audit.schedule import Schedule
from audit.unit import Unit
from audit.work import Given, Result
from reports.data.ledger import Ledger, MeasurementRow, UnitRow

ROOT = Path(__file__).parent.parent
SPEEDUP, OVERHEAD, RESUME, HELP, RAY = 1.8, 0.03, 2.0, 0.3, 1.1
"""What is wanted: of two workers; of units' time; seconds; seconds; of Ray's time beside local workers'."""

RESNET = """
[model]
build = "torchvision:resnet18"
weights = "resnet18.safetensors"
[data]
source = "npz:images.npz"
audit_examples = {images}
[probes]
skip = ["membership", "extraction"]
[probes.evasion]
eps = ["1/255", "4/255"]
"""
STEPS = 8
"""Of the training of the ResNet-18."""


def main() -> int:
    """Run what was asked for; the number of wanted figures that were missed decides the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = {"demo": demo, "dense": dense, "ray": ray, "overhead": overhead, "start": start}
    parser.add_argument("--only", choices=parts, action="append")
    parser.add_argument("--units", type=int, default=10_000, help="simulated units of the overhead")
    parser.add_argument("--images", type=int, default=64, help="audit examples of the dense ResNet-18")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="prune-audit-scale-") as folder:
        met = [parts[name](Path(folder), options) for name in options.only or parts]
    return 0 if all(met) else 1


def demo(folder: Path, options: argparse.Namespace) -> bool:
    """The embedded demo by one worker and by two."""
    return _speedup("demo", [], folder)


def dense(folder: Path, options: argparse.Namespace) -> bool:
    """torchvision's ResNet-18, briefly trained on 32×32 images of stripes: one model, one seed, no variants;
    clean accuracy and evasion at level standard."""
    import torch
    from safetensors.torch import save_file
    from torch.nn import functional as F

    from audit.subject.vision import torchvision

    rng = np.random.default_rng(0)
    stripes = np.where((np.arange(32) // 2) % 2, 0.6, 0.4)[:, None] * np.ones((32, 32))
    both = np.stack([stripes, stripes.T])

    def images(count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        y = np.arange(count) % 2
        noisy = both[y][:, None] + rng.normal(0, 0.2, (count, 3, 32, 32))
        return noisy.clip(0, 1).astype(np.float32), y

    torch.manual_seed(0)
    net = torchvision().models.resnet18(num_classes=2)
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    for _ in range(STEPS):
        x, y = map(torch.from_numpy, images(64))
        optimiser.zero_grad()
        F.cross_entropy(net(x), y).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    save_file(net.state_dict(), folder / "resnet18.safetensors")
    x_test, y_test = images(options.images)
    np.savez(folder / "images.npz", x_test=x_test, y_test=y_test)
    plan = folder / "resnet.toml"
    plan.write_text(RESNET.format(images=options.images), encoding="utf-8")
    return _speedup("one dense ResNet-18", [str(plan)], folder)


def _speedup(name: str, plan: list[str], folder: Path) -> bool:
    times = {jobs: _run(plan, folder / f"{name}-{jobs}", jobs) for jobs in (1, 2)}
    ratio = times[1] / times[2]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(
        f"{name}: one worker {times[1]:.1f} s, two {times[2]:.1f} s: {ratio:.2f}× (wanted ≥ {SPEEDUP}×); "
        f"largest process {peak:.2f} GiB"
    )
    return ratio >= SPEEDUP


def ray(folder: Path, options: argparse.Namespace) -> bool:
    """The demo by two local workers, and as tasks of a Ray cluster of two processors on this machine."""
    times = {engine: _run([], folder / engine, 2, engine) for engine in ("local", "ray")}
    ratio = times["ray"] / times["local"]
    print(f"demo: local {times['local']:.1f} s, ray {times['ray']:.1f} s: {ratio:.2f}× (wanted ≤ {RAY}×)")
    return ratio <= RAY


def _run(plan: list[str], out: Path, jobs: int, engine: str = "local") -> float:
    began = time.perf_counter()
    _call("run", *plan, "--out", str(out), "--jobs", str(jobs), "--device", "cpu", "--engine", engine)
    return time.perf_counter() - began


def _call(*arguments: str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-m", "audit", *arguments],
        check=True,
        cwd=ROOT,
        env=environment,
        capture_output=True,
    )


def overhead(folder: Path, options: argparse.Namespace) -> bool:
    """What scheduling and writing down cost, beside units that take no time themselves: pieces of 64 examples
    under five attacks at five ε, ten of them joined by a probe of ten rows of 640 outcomes."""
    work = _units(options.units)
    planned = [UnitRow(unit.id, unit.family, unit.label, unit.examples) for unit in work]
    began = time.perf_counter()
    with Ledger.open(folder / "simulated.sqlite", {"plan_digest": "simulated"}, planned) as ledger:
        opened = time.perf_counter()
        with Monitor(Console(file=StringIO()), work, Simulated.slots) as monitor:
            failed = Schedule(work, set(), ledger, Simulated(), monitor).run()
        each = (time.perf_counter() - opened) / len(work)
        assert failed == 0
        assert len(ledger.done()) == len(work)
    trip = _round_trip(work[0])
    share = (each + trip) / UNIT_SECONDS
    print(
        f"{len(work)} simulated units: planned in {opened - began:.1f} s; {1000 * each:.2f} ms each to "
        f"schedule and write, {1000 * trip:.2f} ms to a worker process and back: {share:.2%} of units of "
        f"{UNIT_SECONDS:.0f} s (wanted < {OVERHEAD:.0%})\n"
        f"bottleneck: the one process that writes is busy all the time with {UNIT_SECONDS / each:.0f} workers"
    )
    return share < OVERHEAD


class Simulated:
    """An engine whose units are done at once."""

    slots = 64
    shares_fate = True

    def submit(self, unit: Unit, given: Given) -> Future[Result]:
        """What a unit of its kind leaves, without doing it."""
        future: Future[Result] = Future()
        future.set_result(_result(unit, given))
        return future

    def restart(self) -> None:
        """Nothing dies."""

    def close(self, *, at_once: bool = False) -> None:
        """Nothing is open."""


def _result(unit: Unit, given: Given) -> Result:
    del given
    if unit.kind == "piece":
        names = ("fgsm", "pgd", "fmn", "apgd_ce", "apgd_t")
        rng = np.random.default_rng(unit.first)
        return Result(UNIT_SECONDS, part={name: rng.random((5, 64)) < 0.5 for name in names})
    rows = (
        MeasurementRow(
            unit.variant, 0, "evasion", "robust_accuracy", {"eps": place}, 0.5, 0.4, 0.6, 640,
            outcomes={"correct": np.arange(640) % 3 == 0},
        )
        for place in range(10)
    )  # fmt: skip
    return Result(UNIT_SECONDS, measurements=tuple(rows))


def _round_trip(unit: Unit) -> float:
    """Seconds to hand a unit to a worker process and its result back, median of 200."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(_result, unit, Given()).result()

        def trip() -> None:
            pool.submit(_result, unit, Given()).result()

        return _median(trip, 200)


def _median(call: Callable[[], object], times: int = 5) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def _units(count: int) -> list[Unit]:
    work: list[Unit] = []
    for probe in range(-(-count // 11)):
        pieces = [
            Unit(
                f"{probe}-{place}", 0, "piece", f"v{probe}", 0, probe="evasion", first=64 * place,
                stop=64 * (place + 1), examples=64, passes=1.0,
            )
            for place in range(10)
        ]  # fmt: skip
        parents = tuple(piece.id for piece in pieces)
        joined = Unit(
            f"{probe}", 0, "probe", f"v{probe}", 0, parents, probe="evasion", of=(f"v{probe}",), pieces=(10,)
        )
        work += [*pieces, joined]
    return work[:count]


def start(folder: Path, options: argparse.Namespace) -> bool:
    """A finished run is resumed, and help shown; medians of five."""
    out = folder / "finished"
    _call("run", "--quick", "--out", str(out), "--device", "cpu")
    resume = _median(lambda: _call("run", "--quick", "--out", str(out), "--device", "cpu"))
    shown = _median(lambda: _call("--help"))
    print(f"resuming a finished run {resume:.2f} s (wanted < {RESUME} s), --help {shown:.2f} s (< {HELP} s)")
    return resume < RESUME and shown < HELP


if __name__ == "__main__":
    sys.exit(main())
