"""A CycloneDX 1.6 ML-BOM whose components are the audited models, each with its model card."""

import uuid
from collections.abc import Mapping
from typing import Any

import pandas as pd

from reports.exports._text import digests, dumps, plain, version
from reports.gate import Verdicts
from reports.metrics import metric as about_metric
from reports.results import Results
from reports.status import MARKS, requirement
from reports.words import conditions

FILE = "bom.cdx.json"
_NAMESPACE = uuid.UUID("6f0b0d4e-6f5b-5a5e-9f39-3b0c1c6b5a10")
LIMITATIONS = (
    "Robust accuracy is an upper bound: a stronger attack may break more.",
    "Leakage is a lower bound: what these attacks did not find another may.",
    "All figures hold for data like the audit's alone.",
)


def render(results: Results, verdicts: Verdicts, baseline: Results | None = None) -> str:
    """One component per variant and training seed, to be merged into the product's own BOM."""
    del baseline
    name = f"{results.about.get('plan_digest')}\n{verdicts.policy.digest}"
    tool = {"type": "application", "name": "prune-audit"}
    if found := version(results):
        tool["version"] = found
    metadata: dict[str, Any] = {"tools": {"components": [tool]}}
    if started := results.about.get("started"):
        metadata["timestamp"] = plain(started, 40)
    return dumps(
        {
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, name)}",
            "version": 1,
            "metadata": metadata,
            "components": [_component(results, verdicts, row) for row in results.variants.to_dict("records")],
        }
    )


def _component(results: Results, verdicts: Verdicts, row: Mapping[Any, Any]) -> dict[str, Any]:
    variant, seed = row["variant"], int(row["seed"])
    mine = verdicts.of(variant)
    component: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": str(uuid.uuid5(_NAMESPACE, f"{variant}\n{seed}\n{row['digest']}")),
        "name": plain(variant),
        "version": f"seed {seed}",
    }
    if digest := digests(results, variant).get(seed):
        component["hashes"] = [{"alg": "SHA-256", "content": digest}]
    component["modelCard"] = {
        "modelParameters": _parameters(results),
        "quantitativeAnalysis": {"performanceMetrics": _metrics(results, variant, seed)},
        "considerations": {
            "technicalLimitations": list(LIMITATIONS),
            "performanceTradeoffs": [
                f"{MARKS[d.status].word}: {plain(requirement(d.rule))}; {plain(d.reason, 800)}"
                for d in mine.decisions
                if d.status != "not_applicable"
            ],
        },
        "properties": [
            {"name": "prune-audit:policy", "value": plain(verdicts.policy.name)},
            {"name": "prune-audit:policy-sha256", "value": verdicts.policy.digest},
            {"name": "prune-audit:verdict", "value": mine.status},
            {"name": "prune-audit:achieved-sparsity", "value": _text(row["achieved_sparsity"])},
        ],
    }
    return component


def _parameters(results: Results) -> dict[str, Any]:
    subject = results.about.get("subject")
    facts = subject if isinstance(subject, Mapping) else {}
    return {
        "approach": {"type": "supervised"},
        "task": "classification",
        "modelArchitecture": plain(facts.get("architecture") or "unknown"),
        "datasets": [
            {
                "type": "dataset",
                "name": plain(facts.get("data_source") or "unknown"),
                "contents": {
                    "properties": [{"name": "sha256", "value": plain(facts.get("data_digest") or "unknown")}]
                },
            }
        ],
    }


def _metrics(results: Results, variant: str, seed: int) -> list[dict[str, Any]]:
    rows = results.measurements
    mine = rows[(rows["variant"] == variant) & (rows["seed"] == seed) & (rows["status"] == "ok")]
    found = []
    for row in mine.to_dict("records"):
        entry: dict[str, Any] = {"type": plain(row["metric"]), "value": _text(row["value"])}
        if under := conditions(row["conditions"]):
            entry["slice"] = plain(under, 400)
        if not (pd.isna(row["low"]) or pd.isna(row["high"])) and about_metric(row["metric"]).unit != "count":
            entry["confidenceInterval"] = {"lowerBound": _text(row["low"]), "upperBound": _text(row["high"])}
        found.append(entry)
    return found


def _text(number: float | None) -> str:
    return "unknown" if number is None or pd.isna(number) else repr(float(number))
