"""Flips that cost half of the points, against sparsity: in the whole model, and per million weights left."""

from reports.data.results import Results
from reports.draw.chart import Chart, subject
from reports.draw.plots import against_sparsity, band, legend, sparsity_table
from reports.language import words

TITLE = "Bit flips needed against sparsity"
SECTION = "tampering"
ORDER = 20

METRICS = ("tampering_flips", "tampering_flips_per_million")
GOALS = ("50 points", "10 points", "chance")
"""Which damage is shown: the first that any pruned model reaches."""


def draw(results: Results) -> Chart | None:
    """One panel a metric, one line per method."""
    for goal in GOALS:
        at = {"attack": "progressive", "storage": "int8", "goal": goal}
        titles = ("Flips in the whole model", "Flips per million surviving weights")
        panels = [
            against_sparsity(results, metric, at, title=title, width=430)
            for metric, title in zip(METRICS, titles, strict=True)
        ]
        drawn = tuple(panel for panel in panels if panel is not None)
        if len(drawn) < len(METRICS):
            continue
        caption = (
            f"How many flips of {words.attack('progressive')} it takes ({words.conditions({'goal': goal})}). "
            "Where a seed does not lose so much within the flips allowed there is no point: it needs more. "
            "Fewer weights are fewer places to strike, and each carries more: the right panel takes the "
            f"first effect out. {band(results)}"
        )
        columns = [(title, metric, at) for title, metric in zip(titles, METRICS, strict=True)]
        return Chart(
            caption, drawn, sparsity_table(results, TITLE, columns), legend(results), named=True,
            shows=tuple(subject(metric, at) for metric in METRICS),
        )  # fmt: skip
    return None
