"""Clean accuracy against sparsity."""

from reports.data.key import chance
from reports.data.results import Results
from reports.draw.chart import Chart, subject
from reports.draw.plots import against_sparsity, band, legend, sparsity_table

TITLE = "Clean accuracy against sparsity"
SECTION = "accuracy"
ORDER = 10


def draw(results: Results) -> Chart | None:
    """One line per method, with chance marked."""
    level = chance(results)
    panel = against_sparsity(
        results,
        "accuracy",
        {"split": "test"},
        title="Accuracy on test examples",
        level=None if level is None else (level, "chance"),
    )
    if panel is None:
        return None
    caption = (
        "How far each method can go before the model itself breaks; near chance, nothing else on this page "
        f"means anything. {band(results)}"
    )
    columns = (
        ("Test accuracy", "accuracy", {"split": "test"}),
        ("Training accuracy", "accuracy", {"split": "train"}),
    )
    return Chart(
        caption, (panel,), sparsity_table(results, TITLE, columns), legend(results), named=True,
        shows=(subject("accuracy", {"split": "test"}),),
    )  # fmt: skip
