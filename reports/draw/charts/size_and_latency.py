"""Size, arithmetic and latency against sparsity."""

from reports.data.results import Results
from reports.draw.chart import Chart
from reports.draw.plots import against_sparsity, band, legend, sparsity_table
from reports.language.metrics import metric as about_metric

TITLE = "Size and latency against sparsity"
SECTION = "cost"
ORDER = 10

METRICS = ("bytes", "nonzero_parameters", "macs", "latency")


def draw(results: Results) -> Chart | None:
    """Four panels, each from zero, so that heights compare as amounts."""
    panels = []
    for name in METRICS:
        rows = results.select(name)
        if rows.empty:
            continue
        top = max(float(rows["value"].max()), float(rows["high"].fillna(0).max())) * 1.08
        panel = against_sparsity(results, name, {}, title=about_metric(name).title, y_range=(0, top or 1))
        if panel is not None:
            panels.append(panel)
    if not panels:
        return None
    caption = (
        "What pruning buys. Zeros inside dense tensors save neither bytes nor time by themselves: only where "
        f"weights were removed do multiply–accumulates and latency fall. {band(results)}"
    )
    nothing: dict[str, str] = {}
    columns = [(about_metric(name).title, name, nothing) for name in ("parameters", *METRICS)]
    return Chart(caption, tuple(panels), sparsity_table(results, TITLE, columns), legend(results), named=True)
