"""What a plan will cost, from the time of one training step on this machine."""

import os
import statistics
import time
from collections.abc import Iterator

import torch
from torch.nn import functional as F

from audit.plan import Plan
from audit.preflight import Subject
from audit.subject import models
from audit.units import units
from pruning import schedule
from pruning.modes import one_thread
from pruning.recipe import Recipe
from reports.gate import sizes
from reports.gate.policy import Policy

BATCH = 64
STEPS_PER_EXAMPLE = {"quick": 600, "standard": 3000, "thorough": 15_000}
"""Forward and backward passes that the default probes spend on one audit example, by evasion's level; order
of magnitude."""


def facts(subject: Subject, policy: Policy) -> Iterator[tuple[str, str]]:
    """Name and value of each fact about the checked plan, of ``policy``'s reach, and the estimated time."""
    plan, data = subject.plan, subject.data
    work = units(plan, data, subject.device)
    count = {
        kind: sum(unit.kind == kind for unit in work) for kind in ("dense", "control", "pruned", "checkpoint")
    }
    train = 0 if data.train is None else len(data.train)
    yield "model", f"{plan.model.build}: {subject.parameters:,} parameters, {subject.macs:,} multiply-adds"
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
    per_example = step_seconds(subject)
    epochs = (count["dense"] if plan.model.weights is None else 0) * (plan.train.epochs if plan.train else 0)
    epochs += count["control"] * plan.control_epochs
    recipes = plan.pruning.recipes if plan.pruning else {}
    epochs += sum(_epochs(plan, recipes[unit.method]) for unit in work if unit.kind == "pruned")
    level = plan.probes.get("evasion", {}).get("level", "quick")
    steps = epochs * train + sum(count.values()) * len(data.test) * STEPS_PER_EXAMPLE[level]
    cores = os.cpu_count() or 1
    yield (
        "time",
        f"about {max(1, round(steps * per_example / cores / 60))} min on {cores} cores (order of magnitude)",
    )


def design(plan: Plan) -> sizes.Design:
    """What the gate will have to judge: the tests that a pass must survive."""
    evasion, membership, extraction = (
        plan.probes.get(k, {}) for k in ("evasion", "membership", "extraction")
    )
    radii = evasion.get("eps", ())
    readings = {
        "robust_accuracy": (
            sum(map(len, radii.values()))
            if isinstance(radii, dict)
            else len(radii) * len(evasion.get("norms", ()))
        ),
        "membership_auc": len(membership.get("attacks", ())),
        "extraction_fidelity": len(extraction.get("queries", ())),
    }
    pruning = plan.pruning
    methods = len(pruning.recipes if pruning else ()) + len(plan.variant)
    return sizes.Design(methods, len(pruning.sparsities) if pruning else 1, len(plan.seeds), readings)


def _epochs(plan: Plan, recipe: Recipe) -> int:
    """Epochs that a variant is trained for after the dense training."""
    if recipe.rewind is not None and plan.train is not None:
        return plan.train.epochs * (recipe.steps or 1)
    return schedule.epochs(recipe, plan.finetune_epochs)


def step_seconds(subject: Subject) -> float:
    """Seconds of one forward and backward pass, per example, on one thread."""
    plan, data = subject.plan, subject.data
    model = models.wrap(models.fresh(models.builder(plan, data), 0), plan, data).requires_grad_(True)
    batch = data.test[:BATCH]
    times = []
    with one_thread():
        for _ in range(4):
            start = time.perf_counter()
            loss = F.cross_entropy(model(batch.x), batch.y)
            torch.autograd.grad(loss, [p for p in model.parameters() if p.requires_grad])
            times.append(time.perf_counter() - start)
    return statistics.median(times[1:]) / len(batch)
