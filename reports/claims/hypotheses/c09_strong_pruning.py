"""C9: strong pruning costs accuracy."""

from reports.claims import readings
from reports.claims.claim import Claim, Facet, fall
from reports.claims.figures import strong

SMALLEST = 0.02

CLAIM = Claim(
    id="C9",
    title="Strong pruning costs accuracy",
    sections="§3.3, §8.3",
    says="Who prunes too much pays with accuracy.",
    hypothesis="From 90% sparsity on, a retrained pruned model is right less often than the dense model "
    "it was made from.",
    test="Test accuracy, pruned minus dense, from 90% sparsity on; models near chance count.",
    smallest="−2 points of test accuracy",
    facets=(
        Facet(
            "test accuracy from 90% sparsity on",
            fall(SMALLEST),
            "share",
            readings.accuracy(strong),
            "no test accuracy at 90% sparsity or more",
        ),
    ),
)
