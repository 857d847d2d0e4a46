"""A Hugging Face model card's block: ``model-index`` metadata and the prose that goes with it."""

import json
from typing import Any

from reports.aggregate import Figure, over_seeds
from reports.analysis import analyse
from reports.exports._markdown import code, prose, table
from reports.exports._text import digests, plain
from reports.exports._verdict import headline
from reports.gate import Verdicts
from reports.metrics import metric as about_metric
from reports.reach import shown_variant
from reports.results import Results
from reports.status import MARKS
from reports.words import conditions, number, span

FILE = "model-card.md"
PROBES = ("accuracy", "evasion", "membership", "extraction", "tampering")
_HIDDEN = ("attack_health",)


def render(results: Results, verdicts: Verdicts, baseline: Results | None = None) -> str:
    """Of one model: the strongest pruning that meets the policy, else the page's, else dense.

    Figures are means over the training seeds. The block is to be pasted into the README of the model's
    repository, its metadata into the one at that file's top.
    """
    del baseline
    variant = shown_variant(analyse(results), verdicts) or "dense"
    rows = results.measurements
    mine = rows[(rows["variant"] == variant) & rows["probe"].isin(PROBES) & ~rows["metric"].isin(_HIDDEN)]
    found = [figure for figure in over_seeds(mine) if figure.value is not None]
    lines = ["---", "pipeline_tag: image-classification", "library_name: pytorch", "tags:", "- pruned"]
    lines += ["model-index:", f"- name: {_scalar(variant)}", *_results(results, found), "---", ""]
    lines += [f"# Security audit of {code(variant)}", ""]
    mark = MARKS[verdicts.of(variant).status]
    policy = code(verdicts.policy.name)
    lines += [f"By the policy {policy} this model's verdict is {mark.icon} {mark.word}.", ""]
    lines += [f"{prose(sentence, 1500)}\n" for sentence in headline(results, verdicts)]
    if found:
        head = ("figure", "value", "range over seeds, or 95% interval of one", "n", "seeds")
        lines += [*table(head, [_row(figure) for figure in found]), ""]
    hashes = digests(results, variant)
    lines += [f"SHA-256 of seed {seed}: {code(digest)}\n" for seed, digest in hashes.items()]
    lines += [
        "Robust accuracy is an upper bound: a stronger attack may break more. Leakage is a lower bound: what "
        "these attacks did not find another may. Both hold for data like the audit's alone."
    ]
    return "\n".join(lines) + "\n"


def _results(results: Results, found: list[Figure]) -> list[str]:
    """One result with a metric for each figure; none where nothing was measured, which YAML writes as []."""
    if not found:
        return ["  results: []"]
    subject = results.about.get("subject")
    source = subject.get("data_source") if isinstance(subject, dict) else None
    dataset = _scalar(source or "unknown")
    lines = [
        "  results:", "  - task:", "      type: image-classification", "    dataset:",
        f"      name: {dataset}",         f"      type: {dataset}", "    metrics:",
    ]  # fmt: skip
    for figure in found:
        lines += [
            f"    - type: {_scalar(figure.metric)}",
            f"      value: {json.dumps(figure.value)}",
            f"      name: {_scalar(_title(figure))}",
        ]
    return lines


def _title(figure: Figure) -> str:
    under = conditions(figure.at)
    return about_metric(figure.metric).title + (f" ({under})" if under else "")


def _row(figure: Figure) -> tuple[str, ...]:
    unit = about_metric(figure.metric).unit
    return (
        prose(_title(figure)),
        prose(number(figure.value, unit)),
        prose(span(figure.low, figure.high, unit)),
        "" if figure.n is None else f"{figure.n:,}",
        str(figure.seeds),
    )


def _scalar(text: Any) -> str:
    """A YAML scalar: JSON's double-quoted strings are YAML's."""
    return json.dumps(plain(text), ensure_ascii=False)
