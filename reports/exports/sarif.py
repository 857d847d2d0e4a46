"""SARIF 2.1.0 for code scanning: what does not pass, at its rule's line in the policy file."""

import hashlib
import re
from pathlib import PureWindowsPath
from typing import Any
from urllib.parse import quote

from reports.data.results import Results
from reports.exports._facts import TOOL, text_of, version
from reports.gate.judge import Decision, Verdicts
from reports.gate.policy import Rule
from reports.gate.status import MARKS, gravity, limit_words, requirement, waived
from reports.language.words import shown

FILE = "report.sarif"
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
SEVERITY = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "3.0"}
"""GitHub's ``security-severity``: text, and critical above 9.0, high from 7.0, medium from 4.0."""
_JOINER = "\N{WORD JOINER}"
LEVEL = {"critical": "error", "high": "error", "medium": "warning", "low": "note"}


def render(results: Results, verdicts: Verdicts, baseline: Results | None = None) -> str:
    """Everything but what passes or does not apply, worst first.

    A failure has its rule's level; what is inconclusive or has not run is ``open``, for which the standard
    (§3.27.9) asks level ``none``: an alert must not close because a failure is no longer decided. What is
    waived is suppressed, with the reason (GitHub shows it all the same).
    """
    del baseline
    policy = verdicts.policy
    places = {rule.id: place for place, rule in enumerate(policy.rules)}
    told = sorted((d for d in verdicts.decisions if d.status not in ("pass", "not_applicable")), key=gravity)
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
        "results": [_result(d, places[d.rule.id], policy.file, policy.lines.get(d.rule.id, 1)) for d in told],
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
            "precision": "high",
            "security-severity": SEVERITY[rule.severity],
        },
    }


def _result(decision: Decision, place: int, file: str, line: int) -> dict[str, Any]:
    rule = decision.rule
    digest = hashlib.sha256(f"{rule.id}\0{decision.variant}".encode("utf-8", "surrogatepass")).hexdigest()
    failed = "fail" in (decision.status, decision.judged)
    word, more = MARKS[decision.status].word, waived(decision)
    said = f"{word}: {shown(decision.variant)}, {rule.id}: {f'{more}; ' if more else ''}{decision.reason}."
    suppressed = {"kind": "external", "status": "accepted", "justification": more}
    return {
        "ruleId": rule.id,
        "ruleIndex": place,
        "kind": "fail" if failed else "open",
        "level": LEVEL[rule.severity] if failed else "none",
        "message": {"text": _plain(said)},
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
        "properties": {"verdict": word},
        **({"suppressions": [suppressed]} if more else {}),
    }


def _uri(file: str) -> str:
    """The policy's path as a relative URI reference: where a machine keeps its files is nobody's business."""
    path = PureWindowsPath(file)  # which takes both kinds of slash, and a drive
    name = path.name if path.anchor else path.as_posix()
    return quote(name, safe="/")


def _plain(message: str) -> str:
    """A message in which no bracket begins a link (SARIF 2.1.0, §3.11.6), nor what is like an address one."""
    joined = re.sub("://|www\\.", lambda found: found[0][:-1] + _JOINER + found[0][-1], message)
    return re.sub(r"([\\\[\]])", r"\\\1", joined)
