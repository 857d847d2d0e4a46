"""C1: pruning improves robustness."""

from reports.claims import readings
from reports.claims.claim import Claim, Facet, rise

SMALLEST = 0.02

CLAIM = Claim(
    id="C1",
    title="Pruning improves robustness",
    sections="§1, §3.3, §9.1",
    says="A pruned model has fewer parameters, so an attacker finds fewer holes: it is more robust.",
    hypothesis="Under the strongest of the attacks that know the model, a retrained pruned model keeps more "
    "accuracy than a dense one that was trained for as long.",
    test="Robust accuracy, pruned minus dense, same seed and same examples, at the ε that leaves dense "
    "nearest to half; mean over methods and sparsities within each seed, random effects over "
    "subjects.",
    smallest="+2 points of robust accuracy",
    facets=(
        Facet(
            "robust accuracy under the attacks tuned for",
            rise(SMALLEST),
            "share",
            readings.tuned,
            "no robust accuracy of pruned and dense models: probe evasion",
        ),
    ),
)
