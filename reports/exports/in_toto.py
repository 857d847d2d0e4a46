"""In-toto test-result statements, one for each model file, ready to be signed."""

import hashlib
import json
from typing import Any
from urllib.parse import quote

from reports.data.results import Results
from reports.exports._facts import is_sha256, models, plan_name
from reports.gate.judge import Verdicts
from reports.gate.status import MARKS
from reports.language.words import shown

FILE = "attestation.intoto.jsonl"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
RESULTS = {"pass": "PASSED", "waived": "WARNED"}


def render(results: Results, verdicts: Verdicts, baseline: Results | None = None) -> str:
    """JSON Lines: one statement about each model file, by its SHA-256, with its variant's verdict.

    ``PASSED`` only if the variant passes; ``WARNED`` if it does so by waivers; everything else, what is
    inconclusive or has not run included, is ``FAILED``: whoever verifies must not take doubt for a pass.
    A run without a model file has nothing to speak of but its plan, and fails.
    """
    del baseline
    lines = [
        _statement(
            results,
            verdicts.of(variant),
            {
                "name": shown(file),
                "digest": {"sha256": digest},
                "annotations": {"variant": shown(variant), "seed": seed},
            },
            RESULTS.get(verdicts.on(variant), "FAILED"),
        )
        for variant, seed, file, digest in models(results)
    ]
    if not lines:
        plan = str(results.about["plan_digest"])
        known = plan if is_sha256(plan) else hashlib.sha256(plan.encode()).hexdigest()
        nothing = {"name": f"plan {plan_name(results)}", "digest": {"sha256": known}}
        lines = [_statement(results, verdicts, nothing, "FAILED")]
    return "".join(json.dumps(line, ensure_ascii=True, allow_nan=False) + "\n" for line in lines)


def _statement(results: Results, judged: Verdicts, subject: dict[str, Any], result: str) -> dict[str, Any]:
    tests: dict[str, list[str]] = {"passedTests": [], "warnedTests": [], "failedTests": []}
    lists = {"pass": "passedTests", "waived": "warnedTests", "not_applicable": None}
    for decision in judged.decisions:
        if name := lists.get(decision.status, "failedTests"):
            word = MARKS[decision.status].word
            tests[name].append(f"{decision.rule.id}: {shown(decision.variant)}: {word}")
    return {
        "_type": STATEMENT,
        "subject": [subject],
        "predicateType": PREDICATE,
        "predicate": {"result": result, "configuration": _configuration(results, judged), **tests},
    }


def _configuration(results: Results, verdicts: Verdicts) -> list[dict[str, Any]]:
    """The policy by its file's digest; the plan by the digest that names all the run's work."""
    policy: dict[str, Any] = {"name": shown(verdicts.policy.file)}
    if verdicts.policy.digest:
        policy["digest"] = {"sha256": verdicts.policy.digest}
    else:
        policy["uri"] = f"urn:prune-audit:policy:{quote(verdicts.policy.name, safe='')}"
    plan = quote(str(results.about["plan_digest"]), safe="")
    return [policy, {"name": plan_name(results), "uri": f"urn:prune-audit:plan:{plan}"}]
