"""Runs of a few chosen rows, for what the gate must decide on them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reports.data.ledger import Ledger, MeasurementRow, UnitRow, VariantRow
from reports.data.results import Results, read

STAMP: dict[str, Any] = {"seconds": 1.0, "finished": "2026-01-02T03:04:06+00:00"}
ROBUST = {"norm": "linf", "eps": 0.1, "attack": "worst_case"}
TEST = {"split": "test"}


def row(
    variant: str,
    metric: str,
    value: float | None = None,
    low: float | None = None,
    high: float | None = None,
    *,
    seed: int = 0,
    at: Mapping[str, Any] | None = None,
    n: int | None = 500,
    status: str = "ok",
    probe: str = "evasion",
    note: str = "",
    outcomes: Mapping[str, Any] | None = None,
) -> MeasurementRow:
    conditions = ROBUST if at is None else at
    return MeasurementRow(
        variant, seed, probe, metric, conditions, value, low, high, n, status, note, outcomes
    )


def clean(variant: str, value: float = 0.95, *, seed: int = 0, **more: Any) -> MeasurementRow:
    """Clean accuracy, by default far from chance."""
    half = min(0.02, 1 - value, value)
    return row(variant, "accuracy", value, value - half, value + half, seed=seed, at=TEST, probe="accuracy",
               **more)  # fmt: skip


def hits(variant: str, correct: Sequence[bool] | np.ndarray, *, seed: int = 0, **more: Any) -> MeasurementRow:
    """Robust accuracy from per-example evidence, with Wald's interval (the gate takes any)."""
    outcomes = np.asarray(correct, dtype=bool)
    p, n = float(outcomes.mean()), len(outcomes)
    half = 1.96 * float(np.sqrt(p * (1 - p) / n))
    metric = more.pop("metric", "robust_accuracy")
    return row(variant, metric, p, max(0.0, p - half), min(1.0, p + half), seed=seed, n=n,
               outcomes={"correct": outcomes}, **more)  # fmt: skip


def healthy(rows: Sequence[MeasurementRow]) -> list[MeasurementRow]:
    """The rows, with a check that raises nothing beside the robust accuracy of variants without any check."""
    known = {r.variant for r in rows if r.metric == "attack_health"}
    found = [r for r in rows if r.metric == "robust_accuracy" and r.variant not in known]
    bare = dict.fromkeys((r.variant, r.seed, str(r.at.get("norm", ""))) for r in found)
    return [
        *rows,
        *(
            row(name, "attack_health", 0.0, 0.0, 0.05, seed=seed,
                at={"flag": "zero_gradients", "norm": norm, "limit": 0.05})
            for name, seed, norm in bare
        ),
    ]  # fmt: skip


def made(
    folder: Path,
    rows: Iterable[MeasurementRow],
    *,
    waiting: int = 0,
    variants: Iterable[tuple[str, int]] | None = None,
    controls: Iterable[str] = (),
    facts: Mapping[str, Any] | None = None,
    checked: bool = True,
) -> Results:
    """A run of ten classes with these rows; by default every (variant, seed) of theirs was made.

    Attacks are in good health where the rows do not say otherwise, unless ``checked`` is false.
    """
    rows = healthy(list(rows)) if checked else list(rows)
    pairs = list(dict.fromkeys([*(variants or ()), *((r.variant, r.seed) for r in rows)]))
    if variants is not None:
        pairs = [*variants]
    good, failed = [r for r in rows if r.status != "failed"], [r for r in rows if r.status == "failed"]
    units = [UnitRow(f"make {v} {s}", "pruned", v) for v, s in pairs]
    units += [UnitRow("probes", "evasion", "all"), *(UnitRow(f"f{i}", "x", "x") for i in range(len(failed)))]
    units += [UnitRow(f"late {i}", "evasion", "late") for i in range(waiting)]
    about = {"plan_digest": "d" * 64, "plan_name": "run", "subject": {"classes": list("0123456789")}}
    folder.mkdir(parents=True, exist_ok=True)
    with Ledger.open(folder / "run.sqlite", {**about, **(facts or {})}, units) as ledger:
        for name, seed in pairs:
            method, _, sparsity = name.rpartition("@")
            model = VariantRow(
                name, seed, method or name, float(sparsity) if method else 0.0, None, name in controls,
                f"{seed:064x}", f"models/{seed}.safetensors",
            )  # fmt: skip
            ledger.append(f"make {name} {seed}", variant=model, **STAMP)
        ledger.append("probes", measurements=good, **STAMP)
        for i, one in enumerate(failed):
            ledger.append(f"f{i}", measurements=[one], error=one.note or "crash", **STAMP)
    return read(folder)
