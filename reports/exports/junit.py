"""Decisions as JUnit XML: one test case per rule and variant."""

import xml.etree.ElementTree as ET

from reports.exports._text import plain
from reports.gate import Decision, Status, Verdicts
from reports.results import Results
from reports.status import limit_words
from reports.words import counted

FILE = "junit.xml"
TAGS: dict[Status, str] = {
    "fail": "failure",
    "inconclusive": "error",
    "not_run": "error",
    "not_applicable": "skipped",
    "waived": "skipped",
}
"""What a case has inside; one that passed has nothing. A waived one is skipped: it did not pass."""
_COUNTED = {"failure": "failures", "error": "errors", "skipped": "skipped"}


def render(results: Results, verdicts: Verdicts, baseline: Results | None = None) -> str:
    """A suite named after the policy; what is not known is an error, so that nobody takes it for a pass."""
    del baseline
    suite = ET.Element("testsuite", name=f"prune-audit {plain(verdicts.policy.name)}")
    for decision in verdicts.decisions:
        _case(suite, decision)
    judged = {decision.status for decision in verdicts.decisions} - {"not_applicable"}
    if verdicts.waiting:
        _missing(suite, f"{counted(verdicts.waiting, 'planned unit')} not run")
    elif not judged:
        _missing(suite, "nothing was judged")
    counts = {name: len(suite.findall(f"testcase/{tag}")) for tag, name in _COUNTED.items()}
    for name, count in {"tests": len(suite), **counts}.items():
        suite.set(name, str(count))
    started = str(results.about.get("started") or "")
    if started:
        suite.set("timestamp", plain(started, 40))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(suite: ET.Element, decision: Decision) -> None:
    rule, waiver = decision.rule, decision.waiver
    case = ET.SubElement(suite, "testcase", classname=rule.id, name=plain(decision.variant), time="0")
    tag = TAGS.get(decision.status)
    if tag is None:
        return
    message = plain(decision.reason, 1000)
    if waiver is not None:
        message = f"waived until {waiver.expires}: {plain(waiver.reason, 400)} ({message})"
    found = ET.SubElement(case, tag, message=message, type=decision.status)
    found.text = f"{rule.severity}: {limit_words(rule)}"


def _missing(suite: ET.Element, message: str) -> None:
    case = ET.SubElement(suite, "testcase", classname="prune-audit", name="the run is complete", time="0")
    ET.SubElement(case, "error", message=message, type="not_run")
