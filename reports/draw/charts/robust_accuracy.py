"""Robust accuracy at one ε against sparsity."""

from reports.data.key import robust
from reports.data.results import Results
from reports.draw.chart import Chart, subject
from reports.draw.plots import against_sparsity, band, legend, rings, sparsity_table

TITLE = "Robust accuracy against sparsity"
SECTION = "evasion"
ORDER = 20


def draw(results: Results) -> Chart | None:
    """One line per method, at the ε that stands for the run."""
    key = robust(results)
    if key is None:
        return None
    title = key.label[0].upper() + key.label[1:] + ", worst case over attacks"
    panel = against_sparsity(results, key.metric, key.at, title=title)
    if panel is None:
        return None
    caption = (
        "A line below dense: pruning made the model easier to fool; above: harder. This ε is the one that "
        f"leaves dense nearest to half of its clean accuracy, where either would show most. {band(results)}"
        f"{rings(results, key.at['norm'])}"
    )
    table = sparsity_table(results, TITLE, (("Robust accuracy", key.metric, key.at),))
    return Chart(caption, (panel,), table, legend(results), named=True, shows=(subject(key.metric, key.at),))
