"""C13: at moderate sparsity accuracy is only slightly lower."""

from reports.claims import readings
from reports.claims.claim import Claim, Facet, equal
from reports.claims.study import Method

MARGIN = 0.02
FROM, TO = 0.4, 0.6


def _half(_method: Method, sparsity: float) -> bool:
    return FROM <= sparsity <= TO


CLAIM = Claim(
    id="C13",
    title="At moderate sparsity accuracy is only slightly lower",
    sections="§5.4",
    says="About half of the weights can go at almost no cost.",
    hypothesis="At about 50% sparsity a retrained pruned model is as accurate as the dense one it was "
    "made from, within a margin.",
    test="Test accuracy at 40 to 60% sparsity, pruned minus dense: equivalence by two one-sided tests.",
    smallest="a margin of 2 points of test accuracy",
    facets=(
        Facet(
            "test accuracy at about 50% sparsity",
            equal(MARGIN),
            "share",
            readings.accuracy(_half),
            "no test accuracy at 40 to 60% sparsity",
        ),
    ),
)
