"""JUnit XML: one test case for each rule and variant, for the test reports of CI servers."""

import re
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from reports.data.results import Results
from reports.exports._facts import TOOL
from reports.gate.judge import Decision, Verdicts
from reports.gate.status import MARKS, mark_of, requirement, waived
from reports.language.words import counted, shown

FILE = "junit.xml"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, not even escaped."""


def render(results: Results, verdicts: Verdicts, baseline: Results | None = None) -> str:
    """A failure is a failure; what is inconclusive or has not run is an error; what is waived is skipped.

    Units that have not run are an error of their own, and so is a run of which nothing was judged: neither is
    green.
    """
    del results, baseline
    decisions = verdicts.decisions
    idle = not verdicts.waiting and all(d.status == "not_applicable" for d in decisions)  # nothing was judged
    errors = sum(d.status in ("inconclusive", "not_run") for d in decisions) + bool(verdicts.waiting) + idle
    skipped = sum(d.status in ("not_applicable", "waived") for d in decisions)
    failures, tests = verdicts.count("fail"), len(decisions) + bool(verdicts.waiting) + idle
    totals = {"tests": str(tests), "failures": str(failures), "errors": str(errors), "time": "0"}
    root = Element("testsuites", {"name": TOOL, **totals})
    name = _xml(f"policy {shown(verdicts.policy.name)}")
    suite = SubElement(root, "testsuite", {"name": name, **totals, "skipped": str(skipped)})
    for decision in decisions:
        _case(suite, decision)
    if verdicts.waiting:
        case = SubElement(suite, "testcase", {"classname": "run", "name": "complete", "time": "0"})
        text = f"{counted(verdicts.waiting, 'planned unit')} not run"
        SubElement(case, "error", {"type": "not_run", "message": text}).text = text
    if idle:
        case = SubElement(suite, "testcase", {"classname": "run", "name": "judged", "time": "0"})
        SubElement(case, "error", {"type": "not_run", "message": "nothing was judged"})
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _case(suite: Element, decision: Decision) -> None:
    name = {"classname": _xml(decision.rule.id), "name": _xml(shown(decision.variant)), "time": "0"}
    case = SubElement(suite, "testcase", name)
    reason = f"{mark_of(decision).word}: {_xml(decision.reason)}"
    about = {"type": decision.status, "message": reason}
    text = f"{_xml(requirement(decision.rule))}\nseverity {decision.rule.severity}\n{reason}"
    if decision.status == "fail":
        SubElement(case, "failure", about).text = text
    elif decision.status in ("inconclusive", "not_run"):
        SubElement(case, "error", about).text = text
    elif decision.waiver is not None:
        message = f"{MARKS['waived'].word}: {waived(decision)} ({decision.reason})"
        SubElement(case, "skipped", {"type": "waived", "message": _xml(message)})
    elif decision.status == "not_applicable":
        SubElement(case, "skipped", about)


def _xml(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
