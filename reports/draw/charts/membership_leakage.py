"""Membership AUC against sparsity, one panel per attack."""

from reports.data.results import Results
from reports.draw.chart import Chart
from reports.draw.plots import against_sparsity, band, sparsity_table
from reports.language import words
from reports.language.metrics import LUCK

TITLE = "Membership leakage against sparsity"
SECTION = "membership"
ORDER = 10


def draw(results: Results) -> Chart | None:
    """One line per method and one at 0.5, where the attacker guesses; the same axes for every attack."""
    rows = results.select("membership_auc")
    attacks = sorted({str(c["attack"]) for c in rows["conditions"] if "attack" in c})
    if not attacks:
        return None
    ends = [float(v) for column in ("value", "low", "high") for v in rows[column].dropna()]
    low, high = min([0.45, *ends]), max([0.6, *ends])
    panels = [
        panel
        for attack in attacks
        if (
            panel := against_sparsity(
                results,
                "membership_auc",
                {"attack": attack},
                title=f"AUC of the {words.attack(attack)}",
                y_range=(max(0.0, low - 0.01), min(1.0, high + 0.01)),
                level=(0.5, "guessing"),
                width=480 if len(attacks) > 1 else 560,
            )
        )
        is not None
    ]
    if not panels:
        return None
    caption = (
        "0.5 is guessing; above it, an attacker can tell examples the model was trained on from others. A "
        f"line under dense: pruning made the model forget; above: it gives away more. {band(results)} {LUCK}"
    )
    columns = [(f"AUC, {words.attack(a)}", "membership_auc", {"attack": a}) for a in attacks]
    return Chart(caption, tuple(panels), sparsity_table(results, TITLE, columns))
