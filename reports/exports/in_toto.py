"""An in-toto test-result statement about the run's model files, ready to be signed."""

import hashlib
from typing import Any
from urllib.parse import quote

from reports.data.results import Results
from reports.exports._facts import is_sha256, models, plan_name, text_of
from reports.gate.judge import Verdicts
from reports.language.words import shown

FILE = "attestation.intoto.json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"


def render(results: Results, verdicts: Verdicts, baseline: Results | None = None) -> str:
    """One statement on all model files of the run, each by its SHA-256.

    ``PASSED`` only if the gate passes; ``WARNED`` if it does so by waivers; everything else, what is
    inconclusive or has not run included, is ``FAILED``: whoever verifies must not take doubt for a pass.
    A run without a model file has nothing to speak of but its plan, and fails.
    """
    del baseline
    tests: dict[str, list[str]] = {"passedTests": [], "warnedTests": [], "failedTests": []}
    lists = {"pass": "passedTests", "waived": "warnedTests", "not_applicable": None}
    for decision in verdicts.decisions:
        if name := lists.get(decision.status, "failedTests"):
            tests[name].append(f"{decision.rule.id}: {shown(decision.variant)}")
    passed = "WARNED" if tests["warnedTests"] else "PASSED"
    subject = [
        {
            "name": shown(file),
            "digest": {"sha256": digest},
            "annotations": {"variant": shown(variant), "seed": seed},
        }
        for variant, seed, file, digest in models(results)
    ]
    plan = str(results.about["plan_digest"])
    known = plan if is_sha256(plan) else hashlib.sha256(plan.encode()).hexdigest()
    nothing = {"name": f"plan {plan_name(results)}", "digest": {"sha256": known}}
    return text_of(
        {
            "_type": STATEMENT,
            "subject": subject or [nothing],
            "predicateType": PREDICATE,
            "predicate": {
                "result": passed if subject and verdicts.status == "pass" else "FAILED",
                "configuration": _configuration(results, verdicts),
                **tests,
            },
        }
    )


def _configuration(results: Results, verdicts: Verdicts) -> list[dict[str, Any]]:
    """The policy by its file's digest; the plan by the digest that names all the run's work."""
    policy: dict[str, Any] = {"name": shown(verdicts.policy.file)}
    if verdicts.policy.digest:
        policy["digest"] = {"sha256": verdicts.policy.digest}
    else:
        policy["uri"] = f"urn:prune-audit:policy:{quote(verdicts.policy.name, safe='')}"
    plan = quote(str(results.about["plan_digest"]), safe="")
    return [policy, {"name": plan_name(results), "uri": f"urn:prune-audit:plan:{plan}"}]
