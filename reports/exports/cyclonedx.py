"""A CycloneDX 1.6 ML-BOM: each model file with its hash and a model card of measured figures."""

import uuid
from collections.abc import Mapping
from typing import Any

from reports.data.results import Results
from reports.exports._facts import TOOL, models, plan_name, table, text_of, version
from reports.families import keys
from reports.gate.judge import Verdicts
from reports.language.metrics import metric as about_metric
from reports.language.words import conditions, shown

FILE = "model.cdx.json"
_NAMESPACE = uuid.UUID("6f1d3a52-8f0e-5b7e-9a58-0c8c2f1f7b11")


def render(results: Results, verdicts: Verdicts, baseline: Results | None = None) -> str:
    """A fragment to merge into the product's bill of materials; the serial number follows from the run."""
    del baseline
    digest = str(results.about["plan_digest"])
    audit: dict[str, Any] = {"type": "application", "name": TOOL}
    if known := version(results):
        audit["version"] = known
    metrics = _metrics(results)
    found = [
        _component(results, verdicts, f"model-{number}", model, metrics.get(model[:2], []))
        for number, model in enumerate(models(results), 1)
    ]
    return text_of(
        {
            "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, digest + verdicts.policy.digest)}",
            "version": 1,
            "metadata": {"tools": {"components": [audit]}},
            "components": found,
        }
    )


def _component(
    results: Results,
    verdicts: Verdicts,
    ref: str,
    model: tuple[str, int, str, str],
    metrics: list[dict[str, Any]],
) -> dict[str, Any]:
    variant, seed, file, digest = model
    subject = table(results.about, "subject")
    made = results.made[variant]
    facts = {
        "plan": plan_name(results),
        "method": shown(made.method),
        "seed": str(seed),
        "file": shown(file),
        "policy": shown(verdicts.policy.name),
        "verdict": verdicts.on(variant),
        "judged": verdicts.judged_on.isoformat(),
    }
    if made.achieved_sparsity is not None:
        facts["sparsity"] = f"{made.achieved_sparsity:.6g}"
    return {
        "type": "machine-learning-model",
        "bom-ref": ref,
        "name": shown(variant),
        "version": f"seed {seed}",
        "hashes": [{"alg": "SHA-256", "content": digest}],
        "modelCard": {
            "modelParameters": {
                "task": "classification",
                "modelArchitecture": shown(subject.get("architecture") or "unknown"),
                "datasets": [{"type": "dataset", "name": shown(subject.get("data_source") or "unknown")}],
            },
            "quantitativeAnalysis": {"performanceMetrics": metrics},
            "considerations": {"technicalLimitations": _limits(results)},
        },
        "properties": [{"name": f"{TOOL}:{key}", "value": value} for key, value in facts.items()],
    }


def _metrics(results: Results) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """The figures of each very file that stand for the attack families, with their 95% intervals."""
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for key in keys(results):
        title = shown(about_metric(key.metric).title)
        for row in results.select(key.metric, key.at).to_dict("records"):
            found.setdefault((row["variant"], int(row["seed"])), []).append(_metric(row, title))
    return found


def _metric(row: Mapping[Any, Any], title: str) -> dict[str, Any]:
    metric = {"type": title, "value": repr(float(row["value"])), "slice": conditions(row["conditions"])}
    if row["low"] == row["low"] and row["high"] == row["high"]:
        ends = {"lowerBound": repr(float(row["low"])), "upperBound": repr(float(row["high"]))}
        return {**metric, "confidenceInterval": ends}
    return metric


def _limits(results: Results) -> list[str]:
    """What the figures do not show, in the probes' own words."""
    cards = table(results.about, "cards")
    limits = [shown(card.get("limits", ""), 1000) for card in cards.values() if isinstance(card, Mapping)]
    return list(dict.fromkeys(limit for limit in limits if limit))
