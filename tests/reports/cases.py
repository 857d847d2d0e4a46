"""Runs that a page must hold for: each makes a run's folder and returns the policy that judges it."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from reports.data.ledger import Ledger, MeasurementRow, UnitRow, VariantRow
from reports.gate.policy import Policy, Rule

DAY = date(2026, 6, 1)
"""The day on which the cases are judged."""
CRASH = "RuntimeError: no memory"
STAMP: dict[str, Any] = {"seconds": 1.0, "finished": "2026-01-02T03:04:06+00:00"}


def house(**limit: float) -> Policy:
    """One rule on clean accuracy."""
    rule = {"id": "clean", "metric": "accuracy", "at": {"split": "test"}, "severity": "high", **limit}
    return Policy((Rule.model_validate(rule),), name="house")


def passing(synthetic: ModuleType, folder: Path) -> Policy:
    synthetic.build(folder, seeds=[0], n=300, sparsities=[0.5], methods=["m"])
    return house(min=0.5)


def failing(synthetic: ModuleType, folder: Path) -> Policy:
    synthetic.build(folder, seeds=[0], n=300, sparsities=[0.5, 0.9], methods=["m"])
    return house(min=0.999)


def inconclusive(synthetic: ModuleType, folder: Path) -> Policy:
    synthetic.build(folder, seeds=[0], n=40, sparsities=[0.5], methods=["m"])
    return house(max_drop=0.01)


def crashed(synthetic: ModuleType, folder: Path) -> Policy:
    """Every probe of every variant failed, and units are left."""
    units = [
        UnitRow(f"{name}-{probe}", probe, probe) for name in ("dense", "m@0.5") for probe in synthetic.CARDS
    ]
    about = synthetic.about("crashed", ["m"])
    folder.mkdir(parents=True, exist_ok=True)
    with Ledger.open(folder / "run.sqlite", about, [*units, UnitRow("late", "evasion", "late")]) as ledger:
        for unit in units:
            name, _, probe = unit.id.rpartition("-")
            row = VariantRow(
                name, 0, name.partition("@")[0], 0.5 if "@" in name else 0.0, 0.5 if "@" in name else 0.0
            )
            metric = synthetic.CARDS[probe]["metrics"][0]
            failed = MeasurementRow(name, 0, probe, metric, status="failed", note=CRASH)
            variant = row if probe == "accuracy" else None
            ledger.append(
                unit.id, variant=variant, measurements=[failed], error="RuntimeError: no memory", **STAMP
            )
    return house(min=0.5)


def one_variant(synthetic: ModuleType, folder: Path) -> Policy:
    synthetic.build(folder, seeds=[0], n=200, methods=[], control=False)
    return house(min=0.5)


def sixty_variants(synthetic: ModuleType, folder: Path) -> Policy:
    methods = [f"{kind}-{i}" for kind in ("weight", "filter") for i in range(6)]
    synthetic.build(folder, methods=methods, sparsities=(0.3, 0.5, 0.75, 0.9, 0.98), seeds=[0, 1], n=60)
    return house(min=0.6)


def thousand_classes(synthetic: ModuleType, folder: Path) -> Policy:
    facts = synthetic.about("thousand", ["m"])
    facts["subject"]["classes"] = [f"class number {i}" for i in range(1000)]
    synthetic.build(folder, seeds=[0], n=200, sparsities=[0.5], methods=["m"], facts=facts)
    return house(min=0.5)


def empty(synthetic: ModuleType, folder: Path) -> Policy:
    del synthetic
    with Ledger.open(folder / "run.sqlite", {"plan_digest": "d"}, [UnitRow("u", "dense", "train")]):
        pass
    return house(min=0.5)


def pictured(synthetic: ModuleType, folder: Path) -> Policy:
    """A variant whose evasion row keeps broken pictures, and whose attacks raise a health flag."""
    synthetic.build(folder, seeds=[0], n=200, sparsities=[0.5, 0.9], methods=["m"])
    rng = np.random.default_rng(0)
    clean = rng.random((3, 1, 8, 8)).astype(np.float32)
    outcomes = {
        "correct": np.arange(200) < 40,
        "example": np.array([60, 61, 62]),
        "clean": clean,
        "adversarial": np.clip(clean + 0.3 * np.sign(rng.normal(size=clean.shape)), 0, 1).astype(np.float32),
        "label": np.array([3, 4, 5]),
        "answer": np.array([8, 9, 1]),
    }
    at = {"norm": "linf", "eps": 0.3, "attack": "worst_case"}
    rows = [
        MeasurementRow("m@0.9", 0, "evasion", "robust_accuracy", at, 0.2, 0.15, 0.26, 200, outcomes=outcomes),
        MeasurementRow(
            "m@0.9", 0, "evasion", "attack_health", {"flag": "zero_gradients", "norm": "linf", "limit": 0.02},
            0.4, 0.3, 0.5, 200, note="4 of 10 input gradients are exactly zero",
        ),
    ]  # fmt: skip
    units = synthetic.planned(folder, UnitRow("p", "evasion", "p"))
    with Ledger.open(folder / "run.sqlite", {"plan_digest": synthetic.DIGEST}, units) as ledger:
        ledger.append("p", measurements=rows, **STAMP)
    rule = {
        "id": "robust", "metric": "robust_accuracy", "at": {"attack": "worst_case", "eps": 0.3}, "min": 0.9,
        "variants": ["m@0.9"], "severity": "critical",
    }  # fmt: skip
    return Policy((Rule.model_validate(rule),), name="house")


CASES: dict[str, Callable[[ModuleType, Path], Policy]] = {
    "pass": passing,
    "fail": failing,
    "inconclusive": inconclusive,
    "crashed": crashed,
    "one variant": one_variant,
    "60 variants": sixty_variants,
    "1000 classes": thousand_classes,
    "empty": empty,
    "pictures": pictured,
}
STATUS = {
    "pass": "PASS",
    "fail": "FAIL",
    "inconclusive": "INCONCLUSIVE",
    "crashed": "NOT RUN",
    "one variant": "PASS",
    "60 variants": "FAIL",
    "1000 classes": "PASS",
    "empty": "NOT RUN",
    "pictures": "FAIL",
}
"""What the first badge of the page must say."""
