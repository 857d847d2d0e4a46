"""Extraction fidelity at the largest budget against sparsity, with what an attacker has without a query."""

from reports.data.key import extraction
from reports.data.results import Results
from reports.draw.chart import Chart, subject
from reports.draw.plots import against_sparsity, band, legend, sparsity_table
from reports.language import words
from reports.language.metrics import LUCK

TITLE = "Extraction fidelity against sparsity"
SECTION = "extraction"
ORDER = 10


def draw(results: Results) -> Chart | None:
    """One line per method; the two baselines as grey lines, averaged over methods."""
    key = extraction(results)
    if key is None:
        return None
    baselines: list[tuple[str, dict[str, object]]] = [
        ("untrained copy", {"attack": "untrained"}),
        ("own labels, no query", {"attack": "same_data", "labelled": key.at["queries"]}),
    ]
    panel = against_sparsity(
        results,
        key.metric,
        key.at,
        title=key.label[0].upper() + key.label[1:],
        extra=baselines,
    )
    if panel is None:
        return None
    caption = (
        "How often a copy trained on the model’s answers gives the model’s answer. What counts is the height "
        "above the grey line “own labels, no query”, which the same attacker reaches without asking the "
        f"model anything (grey: mean over methods). {band(results)} {LUCK}"
    )
    columns = [(f"Fidelity, {words.conditions(key.at)}", key.metric, key.at)]
    columns += [(f"Fidelity, {words.attack(at['attack'])}", key.metric, at) for _, at in baselines]
    return Chart(
        caption, (panel,), sparsity_table(results, TITLE, columns), legend(results), named=True,
        shows=(subject(key.metric, key.at),),
    )  # fmt: skip
