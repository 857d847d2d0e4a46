"""SARIF 2.1.0 for code scanning: what failed, at the failing rule's line in the policy file."""

import hashlib
from typing import Any
from urllib.parse import quote

from reports.data.results import Results
from reports.exports._facts import TOOL, text_of, version
from reports.gate.judge import Decision, Verdicts
from reports.gate.policy import Rule
from reports.gate.status import gravity, limit_words, requirement
from reports.language.words import shown

FILE = "report.sarif"
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
SEVERITY = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "3.0"}
"""GitHub's ``security-severity``: text, and critical above 9.0, high from 7.0, medium from 4.0."""
LEVEL = {"critical": "error", "high": "error", "medium": "warning", "low": "note"}


def render(results: Results, verdicts: Verdicts, baseline: Results | None = None) -> str:
    """Failures only, worst first: what is inconclusive or has not run is for the gate's exit code to say."""
    del baseline
    policy = verdicts.policy
    places = {rule.id: place for place, rule in enumerate(policy.rules)}
    failed = sorted((d for d in verdicts.decisions if d.status == "fail"), key=gravity)
    driver: dict[str, Any] = {"name": TOOL}
    if known := version(results):
        driver["version"] = known
    driver["rules"] = [_rule(rule) for rule in policy.rules]
    run = {
        "tool": {"driver": driver},
        "automationDetails": {"id": f"{TOOL}/{quote(shown(policy.name, 60), safe='')}/"},
        "invocations": [
            {"executionSuccessful": results.completeness.complete, "exitCode": verdicts.exit_code}
        ],
        "columnKind": "unicodeCodePoints",
        "results": [
            _result(d, places[d.rule.id], policy.file, policy.lines.get(d.rule.id, 1)) for d in failed
        ],
    }
    return text_of({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})


def _rule(rule: Rule) -> dict[str, Any]:
    short = requirement(rule)
    text = shown(rule.description, 1000) or short
    return {
        "id": rule.id,
        "shortDescription": {"text": short},
        "fullDescription": {"text": text},
        "help": {
            "text": f"{text} The policy asks for {limit_words(rule)}; the whole interval must keep to it."
        },
        "defaultConfiguration": {"level": LEVEL[rule.severity]},
        "properties": {
            "tags": ["security", "machine-learning"],
            "precision": "very-high",
            "security-severity": SEVERITY[rule.severity],
        },
    }


def _result(decision: Decision, place: int, file: str, line: int) -> dict[str, Any]:
    rule = decision.rule
    digest = hashlib.sha256(f"{rule.id}\0{decision.variant}".encode("utf-8", "surrogatepass")).hexdigest()
    return {
        "ruleId": rule.id,
        "ruleIndex": place,
        "level": LEVEL[rule.severity],
        "message": {"text": f"{shown(decision.variant)} fails {rule.id}: {decision.reason}."},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": _uri(file)},
                    "region": {"startLine": line},
                },
                "logicalLocations": [{"name": shown(decision.variant), "kind": "resource"}],
            }
        ],
        # The same rule broken by the same variant is the same alert, wherever the rule stands in its file.
        "partialFingerprints": {"primaryLocationLineHash": f"{digest[:16]}:1", "decision/v1": digest},
    }


def _uri(file: str) -> str:
    """The policy's path as a URI reference; absolute only where the path was."""
    return ("file://" if file.startswith("/") else "") + quote(file.removeprefix("./"), safe="/")
