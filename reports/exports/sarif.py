"""Failures as SARIF 2.1.0, in the form that GitHub code scanning takes."""

import hashlib
from typing import Any

from reports.exports._text import dumps, plain, uri, version
from reports.gate import Decision, Verdicts
from reports.policy import Policy, Rule, Severity
from reports.results import Results
from reports.status import MARKS, gravity, requirement
from reports.words import counted

FILE = "gate.sarif"
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS: dict[Severity, tuple[str, str]] = {
    "critical": ("error", "9.5"),
    "high": ("error", "8.0"),
    "medium": ("warning", "5.5"),
    "low": ("note", "2.0"),
}
"""SARIF's level and GitHub's ``security-severity``, whose bounds are 9.0, 7.0 and 4.0."""
MOST = 5000
"""Results that GitHub shows of one upload."""


def render(results: Results, verdicts: Verdicts, baseline: Results | None = None) -> str:
    """One result per failed decision, at the rule's line in the policy file.

    What is neither passed nor failed is no result, which would be shown as a finding; it is a notification,
    and the invocation counts as unsuccessful.
    """
    del baseline
    policy = verdicts.policy
    failed = sorted((d for d in verdicts.decisions if d.status == "fail"), key=gravity)[:MOST]
    index = {rule.id: number for number, rule in enumerate(policy.rules)}
    driver = {
        "name": "prune-audit",
        "informationUri": "https://pypi.org/project/prune-audit/",
        "rules": [_rule(rule) for rule in policy.rules],
    }
    if found := version(results):
        driver["version"] = found
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"prune-audit/{plain(policy.name)}/"},
        "invocations": [
            {
                "executionSuccessful": verdicts.status in ("pass", "fail"),
                "toolExecutionNotifications": _notifications(verdicts),
            }
        ],
        "results": [_result(decision, policy, index[decision.rule.id]) for decision in failed],
    }
    return dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})


def _rule(rule: Rule) -> dict[str, Any]:
    text = plain(requirement(rule), 1000)
    full = f"{plain(rule.description, 800)} ({text})" if rule.description else text
    level, score = LEVELS[rule.severity]
    return {
        "id": rule.id,
        "shortDescription": {"text": text},
        "fullDescription": {"text": plain(full, 1000)},
        "help": {
            "text": f"{full}. The whole 95% interval must keep the limit, in every training seed. Prune "
            "less, prune in another way, or fine-tune adversarially; report.html has the evidence."
        },
        "defaultConfiguration": {"level": level},
        "properties": {"security-severity": score, "tags": ["security", plain(rule.metric, 80)]},
    }


def _result(decision: Decision, policy: Policy, index: int) -> dict[str, Any]:
    rule = decision.rule
    name = f"{rule.id}\n{decision.variant}"
    return {
        "ruleId": rule.id,
        "ruleIndex": index,
        "level": LEVELS[rule.severity][0],
        "message": {"text": f"{plain(decision.variant)}: {plain(decision.reason, 800)}"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": uri(policy.file)},
                    "region": {"startLine": policy.lines.get(rule.id, 1)},
                }
            }
        ],
        # Of what is judged, not of what was found: the same trouble stays one alert from run to run.
        "partialFingerprints": {"pruneAuditDecision/v1": hashlib.sha256(name.encode()).hexdigest()},
    }


def _notifications(verdicts: Verdicts) -> list[dict[str, Any]]:
    texts = [
        f"{MARKS[d.status].word}: {d.rule.id}, {plain(d.variant)}: {plain(d.reason, 800)}"
        for d in sorted(verdicts.decisions, key=gravity)
        if d.status in ("inconclusive", "not_run")
    ][:MOST]
    if verdicts.waiting:
        texts.insert(0, f"{MARKS['not_run'].word}: {counted(verdicts.waiting, 'planned unit')}")
    return [{"level": "warning", "message": {"text": text}} for text in texts]
