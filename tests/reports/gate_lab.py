"""Runs made of rows chosen for a case of the gate, and a rule to judge them by."""

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from reports.data.ledger import Ledger, MeasurementRow, UnitRow, VariantRow
from reports.data.results import Results, read
from reports.gate.judge import Decision, Verdicts, judge
from reports.gate.policy import Policy, Rule, Waiver

TODAY = date(2026, 6, 1)
STAMP: dict[str, Any] = {"seconds": 1.0, "finished": "2026-01-02T03:04:06+00:00"}
N = 1000
Make = Callable[..., Results]
"""The fixture ``make``: writes a run of the given rows and reads it."""


def row(
    metric: str,
    figure: tuple[float | None, float | None, float | None],
    variant: str = "m@0.5",
    seed: int = 0,
    *,
    probe: str = "evasion",
    status: str = "ok",
    n: int | None = N,
    hits: int | None = None,
    **at: Any,
) -> MeasurementRow:
    """``hits``: how many of the n examples, from the first on, count as correct."""
    outcomes = None if hits is None or n is None else {"correct": np.arange(n) < hits}
    return MeasurementRow(variant, seed, probe, metric, at, *figure, n, status, "", outcomes)


def clean(variant: str = "m@0.5", seed: int = 0, share: float = 0.9) -> MeasurementRow:
    """Clean accuracy that shows the model not to have collapsed."""
    figure = (share, share - 0.02, share + 0.02)
    return row("accuracy", figure, variant, seed, probe="accuracy", split="test")


def robust(low: float, value: float, high: float, seed: int = 0, **more: Any) -> MeasurementRow:
    at = {"attack": "worst_case", "norm": "linf", "eps": 0.1} | more.pop("at", {})
    return row("robust_accuracy", (value, low, high), seed=seed, **more, **at)


def rule(metric: str = "robust_accuracy", **keys: Any) -> Rule:
    return Rule.model_validate({"id": "r", "metric": metric, "variants": ["m@*"], **keys})


def policy(*rules: Rule, waivers: Sequence[Waiver] = ()) -> Policy:
    return Policy(tuple(rules), tuple(waivers))


def verdicts(results: Results, *rules: Rule, waivers: Sequence[Waiver] = ()) -> Verdicts:
    return judge(results, policy(*rules, waivers=waivers), today=TODAY)


def only(results: Results, one: Rule) -> Decision:
    (decision,) = verdicts(results, one).decisions
    return decision


def healthy(rows: Sequence[MeasurementRow]) -> list[MeasurementRow]:
    """The rows, with a check that raises nothing beside the robust accuracy of variants without any check."""
    checked = {r.variant for r in rows if r.metric == "attack_health"}
    bare = {
        (r.variant, r.seed, str(r.at.get("norm", "")))
        for r in rows
        if r.metric == "robust_accuracy" and r.variant not in checked
    }
    none = (0.0, 0.0, 0.05)
    return [
        *rows,
        *(
            row("attack_health", none, name, seed, flag="zero_gradients", norm=norm, limit=0.05)
            for name, seed, norm in sorted(bare)
        ),
    ]


def maker(root: Path) -> Make:
    """What writes a run of the given rows into a new folder: every variant and seed that they name exists.

    Attacks are in good health where the rows do not say otherwise, unless ``checked`` is false.
    """

    def write(
        rows: Sequence[MeasurementRow],
        *,
        waiting: int = 0,
        controls: Sequence[str] = (),
        checked: bool = True,
    ) -> Results:
        rows = healthy(rows) if checked else rows
        folder = root / f"run-{len(list(root.iterdir()))}"
        folder.mkdir()
        pairs = list(dict.fromkeys((r.variant, r.seed) for r in rows))
        units = [UnitRow(f"{v}-{s}", "pruned", v) for v, s in pairs]
        units += [UnitRow(f"late-{i}", "evasion", "late") for i in range(waiting)]
        about = {"plan_digest": "d", "subject": {"classes": list("0123456789")}}
        with Ledger.open(folder / "run.sqlite", about, units) as ledger:
            for v, s in pairs:
                method, _, sparsity = v.partition("@")
                share = float(sparsity) if sparsity.startswith("0.") else 0.0
                made = VariantRow(v, s, method, share, share, control=v in controls)
                mine = [r for r in rows if (r.variant, r.seed) == (v, s)]
                ledger.append(f"{v}-{s}", variant=made, measurements=mine, **STAMP)
        return read(folder)

    return write
