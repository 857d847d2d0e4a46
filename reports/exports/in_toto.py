"""An in-toto test-result statement a variant and line, unsigned, with the digests of its model files."""

from typing import Any

from reports.exports._text import SHA256, digests, dumps, plain, uri
from reports.gate import Status, Verdicts
from reports.results import Results

FILE = "test-results.intoto.jsonl"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"


def render(results: Results, verdicts: Verdicts, baseline: Results | None = None) -> str:
    """JSON Lines: a statement for each variant that is judged and whose files' SHA-256 is known.

    The predicate knows three results. What is inconclusive or has not run counts as failed, since a verifier
    lets through what is not; what passes by a waiver alone is a warning.
    """
    del baseline
    names = dict.fromkeys(decision.variant for decision in verdicts.decisions)
    lines = [_statement(results, verdicts.of(name), name) for name in names if digests(results, name)]
    return "".join(dumps(line, indent=None) for line in lines)


def _statement(results: Results, verdicts: Verdicts, variant: str) -> dict[str, Any]:
    policy = verdicts.policy
    result = {"pass": "WARNED" if verdicts.count("waived") else "PASSED"}.get(verdicts.status, "FAILED")

    def rules(*statuses: Status) -> list[str]:
        return [d.rule.id for d in verdicts.decisions if d.status in statuses]

    return {
        "_type": STATEMENT,
        "subject": [
            {"name": f"{plain(variant)} seed {seed}", "digest": {"sha256": digest}}
            for seed, digest in digests(results, variant).items()
        ],
        "predicateType": PREDICATE,
        "predicate": {
            "result": result,
            "configuration": [
                {
                    "name": plain(policy.name),
                    "uri": uri(policy.file),
                    **({"digest": {"sha256": policy.digest}} if policy.digest else {}),
                    "annotations": {"verdict": verdicts.status},
                },
                *_plan(results),
            ],
            "passedTests": rules("pass"),
            "warnedTests": rules("waived"),
            "failedTests": rules("fail", "inconclusive", "not_run"),
        },
    }


def _plan(results: Results) -> list[dict[str, Any]]:
    digest = str(results.about.get("plan_digest"))
    return [{"name": "plan", "digest": {"sha256": digest}}] if SHA256.fullmatch(digest) else []
