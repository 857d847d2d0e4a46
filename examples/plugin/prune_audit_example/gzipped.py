"""Bytes of the gzipped weights against sparsity."""

from reports.data.results import Results
from reports.draw.chart import Chart
from reports.draw.plots import against_sparsity, legend, sparsity_table

TITLE = "Gzipped size against sparsity"
SECTION = "cost"
ORDER = 90


def draw(results: Results) -> Chart | None:
    """One panel; None where no size was measured."""
    panel = against_sparsity(results, "gzip_bytes", {}, title=TITLE)
    if panel is None:
        return None
    nothing: dict[str, str] = {}
    table = sparsity_table(results, TITLE, [("Bytes, gzipped", "gzip_bytes", nothing)])
    return Chart("Zeros compress well, wherever they are.", (panel,), table, legend(results), named=True)
