"""A block for a Hugging Face model card: ``model-index`` metadata, and a section that says what was found."""

import json
import re
from typing import Any

from reports.data.results import Results
from reports.exports._facts import TOOL, WORDS, key_figures, plan_name, table, version
from reports.gate.judge import Verdicts
from reports.gate.status import MARKS
from reports.language.markdown import code, text
from reports.language.metrics import metric as about_metric
from reports.language.words import conditions, number, percent, shown

FILE = "model-card.md"
_UNPRINTABLE = re.compile("[^\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""What YAML holds only escaped."""


def render(results: Results, verdicts: Verdicts, baseline: Results | None = None) -> str:
    """Markdown to merge into the model's own README.md; the figures are means over seeds."""
    del baseline
    figures = key_figures(results)
    index = [
        _entry(results, name, [(f.metric, conditions(f.at), f.value) for f in found])
        for name, found in figures.items()
        if found
    ]
    head = ["---", "tags:", f"- {TOOL}", "- pruning", "- adversarial-robustness"]
    if index:
        # JSON is YAML: every name stays inside its quotation marks, whatever it holds. But JSON escapes what
        # is beyond 16 bits in two halves, which YAML does not put together: it stands as it is.
        head += ["model-index:", *(f"- {_yaml(entry)}" for entry in index)]
    by = f"{TOOL} {version(results)}".strip()
    lines = [
        *head,
        "---",
        "",
        "## Security audit",
        "",
        f"{MARKS[verdicts.status].word} by the policy {code(verdicts.policy.name)}. {WORDS[verdicts.status]} "
        f"Judged on {verdicts.judged_on}. Measured with {text(by)} in the "
        f"run {code(plan_name(results))}; means over seeds.",
        "",
        *_table(results, verdicts),
        "",
        "Robust accuracy is an upper bound and a leak found is a lower bound: a stronger attack could find "
        "more. This is evidence, not a certificate.",
    ]
    return "\n".join(lines) + "\n"


def _yaml(entry: dict[str, Any]) -> str:
    return _UNPRINTABLE.sub(
        lambda found: f"\\u{ord(found[0]):04x}", json.dumps(entry, ensure_ascii=False, allow_nan=False)
    )


def _entry(results: Results, name: str, found: list[tuple[str, str, float | None]]) -> dict[str, Any]:
    subject = table(results.about, "subject")
    shape = subject.get("input_shape")
    images = isinstance(shape, list) and len(shape) == 3
    source = shown(subject.get("data_source") or "unknown", 120)
    return {
        "name": shown(name),
        "results": [
            {
                "task": {"type": "image-classification" if images else "tabular-classification"},
                "dataset": {"type": source, "name": source},
                "metrics": [
                    {"type": metric, "name": f"{about_metric(metric).title}, {under}", "value": value}
                    for metric, under, value in found
                ],
            }
        ],
    }


def _table(results: Results, verdicts: Verdicts) -> list[str]:
    figures = key_figures(results)
    metrics = list(dict.fromkeys(f.metric for found in figures.values() for f in found))
    titles = [about_metric(metric).title for metric in metrics]
    rows = ["| " + " | ".join(["Variant", "Sparsity", *titles, "Verdict"]) + " |"]
    rows.append("|" + "---|" * (len(titles) + 3))
    for name, found in figures.items():
        values = {f.metric: number(f.value, about_metric(f.metric).unit) for f in found}
        cells = [code(name), percent(results.made[name].achieved_sparsity)]
        cells += [values.get(metric, "–") for metric in metrics]
        rows.append("| " + " | ".join([*cells, MARKS[verdicts.on(name)].word]) + " |")
    return rows
