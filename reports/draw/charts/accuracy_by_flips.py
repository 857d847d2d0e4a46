"""Accuracy against flipped bits: one panel per method, one curve per sparsity, the same axes in all."""

from reports.data.results import Results
from reports.draw.chart import Chart
from reports.draw.curves import Count, chart, curves
from reports.draw.plots import band
from reports.language import words

TITLE = "Accuracy against flipped bits"
SECTION = "tampering"
ORDER = 10

FLIPS = Count("flips", "flip", "flips")
ATTACK = "progressive"


def draw(results: Results) -> Chart | None:
    """One panel for each method, with dense in each."""
    found = curves(results, "tampering_accuracy", ATTACK, FLIPS)
    if not found:
        return None
    caption = (
        f"Accuracy after so many bits of the weights, stored as int8, were flipped by {words.attack(ATTACK)} "
        "(log scale). A curve below dense’s: the pruned model breaks sooner. Another search may need fewer. "
        f"{band(results)}"
    )
    return chart(results, found, TITLE, FLIPS, caption)
