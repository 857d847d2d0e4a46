"""Everything as one JSON document: run, policy, decisions, models, measurements, changes since a baseline."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from reports.data.results import Results
from reports.exports._facts import TOOL, counts, text_of
from reports.gate.judge import Decision, Verdicts
from reports.gate.policy import Policy, Rule, Waiver
from reports.stats.compare import Comparison, compare_all

FILE = "report.json"
VERSION = 1
"""Of the document's form: it grows where a field goes or changes its meaning, not where one comes."""
SCHEMA = Path(__file__).parents[1] / "schemas" / f"report-{VERSION}.schema.json"


def render(results: Results, verdicts: Verdicts, baseline: Results | None = None) -> str:
    """The document that ``reports/schemas/report-1.schema.json`` describes. Absent numbers are null."""
    state, about = results.completeness, results.about
    return text_of(
        {
            "schema": f"{TOOL}/report/{VERSION}",
            "run": {
                **{key: about.get(key) for key in ("plan_name", "plan_digest", "started", "command")},
                **{key: about.get(key, {}) for key in ("plan", "subject", "environment")},
                "units": {"planned": state.planned, "done": state.done, "failed": state.failed},
            },
            "policy": _policy(verdicts.policy),
            "verdict": {
                "status": verdicts.status,
                "exit_code": verdicts.exit_code,
                "date": verdicts.judged_on.isoformat(),
                "counts": counts(verdicts),
                "rules_applied": verdicts.applied,
                "remarks": list(verdicts.remarks),
            },
            "decisions": [_decision(decision) for decision in verdicts.decisions],
            "variants": _variants(results, verdicts),
            "measurements": [_measurement(row) for row in results.measurements.to_dict("records")],
            "baseline": None if baseline is None else _baseline(results, baseline),
        }
    )


def _policy(policy: Policy) -> dict[str, Any]:
    return {
        "name": policy.name,
        "file": policy.file,
        "sha256": policy.digest or None,
        "rules": [_rule(rule) for rule in policy.rules],
        "waivers": [_waiver(waiver) for waiver in policy.waivers],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return rule.model_dump(mode="json", exclude_none=True)


def _waiver(waiver: Waiver) -> dict[str, Any]:
    return waiver.model_dump(mode="json")


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "rule": decision.rule.id,
        "variant": decision.variant,
        "status": decision.status,
        "reason": decision.reason,
        "severity": decision.rule.severity,
        "metric": decision.rule.metric,
        "at": None if decision.at is None else dict(decision.at),
        "seed": decision.seed,
        **{key: getattr(decision, key) for key in ("value", "low", "high", "limit", "n", "seeds")},
        "without_waiver": decision.judged,
        "waiver": None if decision.waiver is None else _waiver(decision.waiver),
        "change": None if decision.change is None else _change(decision.change),
    }


def _change(comparison: Comparison) -> dict[str, Any]:
    pooled = comparison.pooled
    return {
        "variant": comparison.variant,
        "against": comparison.against,
        "metric": comparison.metric,
        "at": dict(comparison.at),
        "value": pooled.value,
        "low": pooled.low,
        "high": pooled.high,
        "n": pooled.n,
        "seeds": list(comparison.seeds),
        "p": pooled.p,
        "p_holm": comparison.adjusted,
        "direction": comparison.direction,
        "retraining": _retraining(comparison),
    }


def _retraining(comparison: Comparison) -> dict[str, Any] | None:
    again = comparison.retraining
    if again is None:
        return None
    return {
        **{key: getattr(again, key) for key in ("value", "low", "high", "p", "freedom")},
        "p_holm": comparison.retrained,
        "direction": comparison.of_retraining,
    }


def _variants(results: Results, verdicts: Verdicts) -> list[dict[str, Any]]:
    return [
        {
            **{key: _plain(row[key]) for key in ("variant", "seed", "method", "sparsity")},
            **{key: _plain(row[key]) for key in ("achieved_sparsity", "control", "digest", "file")},
            "status": verdicts.on(row["variant"]),
        }
        for row in results.variants.to_dict("records")
    ]


def _measurement(row: Mapping[Any, Any]) -> dict[str, Any]:
    keys = ("variant", "method", "sparsity", "achieved_sparsity", "seed", "probe", "metric")
    more = ("value", "low", "high", "n", "status", "note")
    at = {"at": dict(row["conditions"])}
    return {**{k: _plain(row[k]) for k in keys}, **at, **{k: _plain(row[k]) for k in more}}


def _baseline(results: Results, baseline: Results) -> dict[str, Any]:
    """Every figure that pairs, this run minus the baseline; p-values are corrected within a figure."""
    both = [name for name in results.names() if name in baseline.made]
    figures: dict[tuple[str, str], Mapping[str, Any]] = {}
    measured = results.measurements[results.measurements["status"] == "ok"]
    for metric, at, conditions in zip(
        measured["metric"], measured["at"], measured["conditions"], strict=True
    ):
        figures.setdefault((metric, at), conditions)
    changes: list[Comparison] = []
    for (metric, _), at in figures.items():
        changes += compare_all(results, both, metric, at, baseline=baseline).values()
    return {
        "plan_name": baseline.about.get("plan_name"),
        "plan_digest": baseline.about.get("plan_digest"),
        "only_here": [name for name in results.names() if name not in baseline.made],
        "only_there": [name for name in baseline.names() if name not in results.made],
        "changes": [_change(change) for change in changes],
    }


def _plain(value: Any) -> Any:
    """A cell of a frame as a JSON value: NaN and NA are null, numpy's numbers are numbers."""
    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return None
    return value.item() if hasattr(value, "item") else value
