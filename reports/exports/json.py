"""Everything as JSON: run, verdict, decisions, figures; its schema is published in ``reports/schemas``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from reports.baseline import changes
from reports.compare import Comparison
from reports.exports._text import dumps
from reports.gate import Decision, Verdicts
from reports.results import Results

FILE = "run.json"
SCHEMA = Path(__file__).parents[1] / "schemas" / "run-1.json"
"""JSON Schema (2020-12) of the file. A change that breaks a reader gets a new number."""
_FACTS = ("plan_name", "plan_digest", "command", "started", "plan", "subject", "environment")
_VARIANT = ("variant", "seed", "method", "sparsity", "achieved_sparsity", "control", "digest", "file", "note")
_MEASUREMENT = (
    "variant", "seed", "probe", "metric", "conditions", "value", "low", "high", "n", "status", "note",
)  # fmt: skip


def render(results: Results, verdicts: Verdicts, baseline: Results | None = None) -> str:
    """The run, what the policy says of it, and what changed since the baseline (null without one)."""
    done = results.completeness
    return dumps(
        {
            "schema": "urn:prune-audit:run:1",
            "run": {key: results.about.get(key) for key in _FACTS},
            "completeness": {
                "planned": done.planned, "done": done.done, "failed": done.failed, "waiting": done.waiting,
            },
            "verdict": {
                "status": verdicts.status,
                "exit_code": verdicts.exit_code,
                "policy": {
                    "name": verdicts.policy.name,
                    "file": verdicts.policy.file,
                    "digest": verdicts.policy.digest,
                },
                "remarks": list(verdicts.remarks),
            },
            "decisions": [_decision(decision) for decision in verdicts.decisions],
            "baseline": None if baseline is None else _baseline(results, baseline),
            "variants": _records(results.variants, _VARIANT),
            "measurements": [
                {("at" if key == "conditions" else key): row[key] for key in _MEASUREMENT}
                for row in _records(results.measurements, _MEASUREMENT)
            ],
        }
    )  # fmt: skip


def _decision(decision: Decision) -> dict[str, Any]:
    rule, waiver = decision.rule, decision.waiver
    return {
        "rule": rule.id,
        "variant": decision.variant,
        "status": decision.status,
        "judged": decision.judged,
        "severity": rule.severity,
        "metric": rule.metric,
        "kind": rule.kind,
        "limit": rule.limit,
        "against": rule.reference if rule.compares else None,
        "value": decision.value,
        "low": decision.low,
        "high": decision.high,
        "n": decision.n,
        "seeds": decision.seeds,
        "at": decision.at,
        "reason": decision.reason,
        "waiver": None
        if waiver is None
        else {"variant": waiver.variant, "expires": waiver.expires.isoformat(), "reason": waiver.reason},
    }


def _baseline(results: Results, baseline: Results) -> dict[str, Any]:
    return {
        "plan_name": baseline.about.get("plan_name"),
        "plan_digest": baseline.about.get("plan_digest"),
        "changes": [_change(comparison) for comparison in changes(results, baseline)],
    }


def _change(comparison: Comparison) -> dict[str, Any]:
    pooled = comparison.pooled
    return {
        "variant": comparison.variant,
        "metric": comparison.metric,
        "at": comparison.at,
        "seeds": list(comparison.seeds),
        "value": pooled.value,
        "low": pooled.low,
        "high": pooled.high,
        "n": pooled.n,
        "p": pooled.p,
        "adjusted_p": comparison.adjusted,
        "direction": comparison.direction,
    }


def _records(frame: pd.DataFrame, columns: tuple[str, ...]) -> list[Mapping[Any, Any]]:
    return list(frame[list(columns)].to_dict("records"))
