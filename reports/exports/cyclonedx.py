"""A CycloneDX 1.6 ML-BOM: each model file with its hash and a model card of measured figures."""

import uuid
from collections.abc import Mapping
from typing import Any

from reports.exports._facts import TOOL, models, plan_name, table, text_of, version
from reports.families import keys
from reports.gate import Verdicts
from reports.metrics import metric as about_metric
from reports.results import Results
from reports.words import conditions, shown

FILE = "model.cdx.json"
_NAMESPACE = uuid.UUID("6f1d3a52-8f0e-5b7e-9a58-0c8c2f1f7b11")


def render(results: Results, verdicts: Verdicts, baseline: Results | None = None) -> str:
    """A fragment to merge into the product's bill of materials; the serial number follows from the run."""
    del baseline
    digest = str(results.about["plan_digest"])
    audit: dict[str, Any] = {"type": "application", "name": TOOL}
    if known := version(results):
        audit["version"] = known
    found = [_component(results, verdicts, number, *model) for number, model in enumerate(models(results), 1)]
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
    results: Results, verdicts: Verdicts, number: int, variant: str, seed: int, file: str, digest: str
) -> dict[str, Any]:
    subject = table(results.about, "subject")
    made = results.made[variant]
    facts = {
        "plan": plan_name(results),
        "method": shown(made.method),
        "seed": str(seed),
        "file": shown(file),
        "policy": shown(verdicts.policy.name),
        "verdict": verdicts.of(variant).status,
    }
    if made.achieved_sparsity is not None:
        facts["sparsity"] = f"{made.achieved_sparsity:.6g}"
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model-{number}",
        "name": shown(variant),
        "version": f"seed {seed}",
        "hashes": [{"alg": "SHA-256", "content": digest}] if _is_sha256(digest) else [],
        "modelCard": {
            "modelParameters": {
                "task": "classification",
                "modelArchitecture": shown(subject.get("architecture") or "unknown"),
                "datasets": [{"type": "dataset", "name": shown(subject.get("data_source") or "unknown")}],
            },
            "quantitativeAnalysis": {"performanceMetrics": _metrics(results, variant, seed)},
            "considerations": {"technicalLimitations": _limits(results)},
        },
        "properties": [{"name": f"{TOOL}:{key}", "value": value} for key, value in facts.items()],
    }


def _metrics(results: Results, variant: str, seed: int) -> list[dict[str, Any]]:
    """The figures of this very file that stand for each attack family, with their 95% intervals."""
    return [
        _metric(row, shown(about_metric(key.metric).title))
        for key in keys(results)
        for row in results.select(key.metric, key.at, variant=variant).to_dict("records")
        if int(row["seed"]) == seed
    ]


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


def _is_sha256(digest: str) -> bool:
    return len(digest) == 64 and all(c in "0123456789abcdef" for c in digest)
