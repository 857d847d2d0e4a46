"""C8: pruning raises generalisation."""

from reports.claims import readings
from reports.claims.claim import Claim, Facet, fall, rise

SMALLEST = 0.01

CLAIM = Claim(
    id="C8",
    title="Pruning raises generalisation",
    sections="§1, §3.3",
    says="Without needless parameters a model generalises better.",
    hypothesis="A retrained pruned model is right more often on unseen examples than a dense one that was"
    " trained for as long, and its training accuracy lies less above that.",
    test="Test accuracy, and the gap between training and test accuracy, pruned minus dense.",
    smallest="+1 point of test accuracy; −1 point of the gap",
    facets=(
        Facet(
            "test accuracy",
            rise(SMALLEST),
            "share",
            readings.accuracy(control=True),
            "no test accuracy of pruned and dense models: probe accuracy",
        ),
        Facet(
            "gap between training and test accuracy",
            fall(SMALLEST),
            "share",
            readings.accuracy(reading=readings.GAP, control=True),
            "no training accuracy: the run does not know the training examples",
        ),
    ),
)
