"""What a plan will cost, from the time of one pass forward and backward on this machine."""

import statistics
import time
from collections import defaultdict
from collections.abc import Iterator

import torch
from torch.nn import functional as F

from attacks import membership
from audit import machine
from audit.plan import Plan
from audit.preflight import Subject
from audit.progress import duration
from audit.subject import models
from audit.unit import MODELS, Unit
from audit.units import units
from audit.work import batch_size
from pruning.modes import one_thread
from reports.gate import sizes
from reports.gate.policy import Policy

BATCH = 64
ENOUGH = 5.0
"""Seconds after which a pass is not timed again."""
OPAQUE = "a black box: no attack climbs its gradients, and nothing is known of its size"
LEAST = 0.2
"""Seconds that a unit takes, however small its model: reading, writing, what is done once."""
LONG = 3600.0
"""Seconds beyond which it is told what would make a run shorter."""


def facts(subject: Subject, policy: Policy) -> Iterator[tuple[str, str]]:
    """Name and value of each fact about the checked plan, of ``policy``'s reach, and the estimated time."""
    plan, data = subject.plan, subject.data
    work = units(plan, data, subject.device)
    count = {
        kind: sum(unit.kind == kind for unit in work) for kind in ("dense", "control", "pruned", "checkpoint")
    }
    train = 0 if data.train is None else len(data.train)
    share = f"{subject.prunable / max(1, subject.parameters):.1%} prunable"
    size = f"{subject.parameters:,} parameters, {share}, {subject.macs:,} multiply-adds"
    yield "model", f"{plan.model.build}: {OPAQUE if plan.model.black_box else size}"
    for words in subject.left:
        yield "pruning", words
    for name, words in subject.weights.items():
        yield f"weights of {name}", words
    yield (
        "data",
        f"{plan.data.source}: inputs {data.input_shape} in {list(data.bounds)}, {len(data.classes)} classes",
    )
    pool = 0 if data.pool is None else len(data.pool)
    yield "examples", f"{train} members, {len(data.test)} audited, {pool} for the extraction attacker"
    yield "models", ", ".join(f"{n} {kind}" for kind, n in count.items() if n)
    yield "probes", ", ".join(plan.probes)
    yield "policy", sizes.sentence(policy, design(plan), len(data.test), train)
    measured = pace(subject)
    cores = machine.workers(int(measured["bytes"]))
    yield "time", " ".join(_time(work, measured["seconds"], cores))
    free = machine.available_memory()
    told = "" if free is None else f", {free / 2**30:.1f} GiB free"
    yield "memory", f"about {measured['bytes'] / 2**30:.1f} GiB a worker{told}: {cores} workers at a time"


def times(work: list[Unit], seconds: float) -> dict[str, float]:
    """Seconds that models, and each probe, take on one core, roughly; ``seconds``: of a pass."""
    each: defaultdict[str, float] = defaultdict(float)
    for unit in work:
        family = "models" if unit.kind in (*MODELS, "reference", "score") else unit.family
        each[family] += max(LEAST, unit.passes * seconds) if unit.passes else 0.0
    return each


def _time(work: list[Unit], seconds: float, cores: int) -> Iterator[str]:
    """How long the work takes, what of it takes how long, and what to do about it."""
    each = times(work, seconds)
    longest = sorted(each.items(), key=lambda item: -item[1])
    total = sum(each.values()) / cores
    yield f"about {max(1, round(total / 60))} min on {cores} cores (order of magnitude):"
    yield ", ".join(f"{name} {duration(time / cores)}" for name, time in longest if time > 0) + "."
    if total > LONG:
        yield (
            "Less of it: run with --budget 30m; or fewer audit_examples, seeds, sparsities, methods or ε; "
            "evasion at level quick. But for the examples, what is left out can be added to the same folder "
            "later."
        )


def total(subject: Subject) -> float:
    """Seconds that the whole plan takes on this machine's cores, in order of magnitude."""
    measured = pace(subject)
    work = units(subject.plan, subject.data, subject.device)
    return sum(times(work, measured["seconds"]).values()) / machine.workers(int(measured["bytes"]))


def design(plan: Plan) -> sizes.Design:
    """What the gate will have to judge: the tests that a pass must survive."""
    evasion, extraction = (plan.probes.get(k, {}) for k in ("evasion", "extraction"))
    leaks = plan.settings.get("membership")
    radii = evasion.get("eps", ())
    readings = {
        "robust_accuracy": (
            sum(map(len, radii.values()))
            if isinstance(radii, dict)
            else len(radii) * len(evasion.get("norms", ()))
        ),
        "membership_auc": len(list(membership.plays(leaks))) if isinstance(leaks, membership.Settings) else 0,
        "extraction_fidelity": len(extraction.get("queries", ())),
        "tampering_accuracy": int("tampering" in plan.probes),
    }
    pruning = plan.pruning
    methods = len(pruning.recipes if pruning else ()) + len(plan.variant)
    return sizes.Design(methods, len(pruning.sparsities) if pruning else 1, len(plan.seeds), readings)


def pace(subject: Subject) -> dict[str, float]:
    """``seconds`` of a pass (see :func:`step_seconds`), and ``bytes``: the memory that a worker holds at
    most, which has loaded what this process has, and done the same."""
    return {"seconds": step_seconds(subject), "bytes": machine.peak_memory()}


def step_seconds(subject: Subject) -> float:
    """Seconds of one forward pass and one backward to the input, per example, on one thread."""
    plan, data = subject.plan, subject.data
    model = models.wrap(models.fresh(models.builder(plan, data), 0), plan, data).requires_grad_(False)
    some = data.test[: min(BATCH, batch_size(data.test.x[0].numel()))]
    times: list[float] = []
    with one_thread():
        while len(times) < 4 and sum(times) < ENOUGH:
            start = time.perf_counter()
            x = some.x.clone().requires_grad_()
            torch.autograd.grad(F.cross_entropy(model(x), some.y), x, allow_unused=True)
            times.append(time.perf_counter() - start)
    return statistics.median(times[1:] or times) / len(some)
