"""What several formats say of a run, in the same words."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from reports.data.aggregate import Figure, figures
from reports.data.results import Results
from reports.families import keys
from reports.gate.judge import Verdicts
from reports.language.words import shown

TOOL = "prune-audit"
_SHA256 = re.compile("[0-9a-f]{64}")
WORDS = {
    "pass": "The run meets the policy.",
    "waived": "What does not meet the policy is waived.",
    "fail": "The run breaks the policy.",
    "inconclusive": "The run does not show that the policy is met.",
    "not_run": "The policy asks for what this run has not measured.",
}
"""The whole verdict in one sentence, by its status."""


def text_of(value: Any) -> str:
    """JSON of a document: indented, ASCII (so that no reader trips over a name), one trailing newline.

    Keys keep their order, which is the order of the document's specification.
    """
    return json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def version(results: Results) -> str:
    """The version of the program that measured; empty where the run does not say."""
    environment = table(results.about, "environment")
    return shown(environment.get(TOOL) or "", 60)


def plan_name(results: Results) -> str:
    """What the run is called."""
    return shown(results.about.get("plan_name") or "run", 120)


def table(about: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A table of the run's facts; empty where it is missing."""
    found = about.get(key)
    return found if isinstance(found, Mapping) else {}


def is_sha256(text: str) -> bool:
    """Whether a text is a SHA-256 as hexadecimal digits."""
    return _SHA256.fullmatch(text) is not None


def models(results: Results) -> Iterator[tuple[str, int, str, str]]:
    """Every model file with a SHA-256: variant, seed, path in the run's folder, digest."""
    for row in results.variants.to_dict("records"):
        digest = row["digest"]
        if isinstance(digest, str) and is_sha256(digest):
            yield str(row["variant"]), int(row["seed"]), str(row["file"] or digest), digest


def key_figures(results: Results) -> dict[str, list[Figure]]:
    """The figures that stand for each attack family, over seeds, by variant."""
    found: dict[str, list[Figure]] = {name: [] for name in results.names()}
    for key in keys(results):
        for name, figure in figures(results, key.metric, key.at).items():
            if name in found and figure.value is not None:
                found[name].append(figure)
    return found


def counts(verdicts: Verdicts) -> dict[str, int]:
    """How many decisions have each status."""
    states = ("pass", "fail", "inconclusive", "not_run", "not_applicable", "waived")
    return {state: sum(d.status == state for d in verdicts.decisions) for state in states}
