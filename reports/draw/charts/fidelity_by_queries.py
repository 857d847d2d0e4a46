"""Extraction fidelity against queries: one panel per method, one curve per sparsity, the same axes in all."""

from reports.data.key import extraction
from reports.data.results import Results
from reports.draw.chart import Chart
from reports.draw.curves import Count, chart, curves
from reports.draw.plots import band
from reports.language import words
from reports.language.metrics import LUCK

TITLE = "Extraction fidelity against queries"
SECTION = "extraction"
ORDER = 20

QUERIES = Count("queries", "query", "queries")


def draw(results: Results) -> Chart | None:
    """One panel for each method, with dense in each; the attack that stands for the run."""
    key = extraction(results)
    if key is None:
        return None
    found = curves(results, "extraction_fidelity", str(key.at["attack"]), QUERIES)
    if not found:
        return None
    caption = (
        f"How often a copy ({words.attack(key.at['attack'])}) gives the model’s answer, by the number of "
        "queries that it was trained on (log scale). A curve above dense’s: the pruned model is copied more "
        "cheaply. "
        f"{band(results)} {LUCK}"
    )
    return chart(results, found, TITLE, QUERIES, caption)
