"""C6: pruning exposes parameters, by which outputs can be tampered with."""

from reports.claims import readings
from reports.claims.claim import Claim, Facet, rise

SMALLEST = 0.02

CLAIM = Claim(
    id="C6",
    title="Pruning exposes parameters, by which outputs can be tampered with",
    sections="§2.3",
    says="A pruned model's few parameters are easier to find out and to change.",
    hypothesis="A copy made with the same queries agrees more with a pruned model, and the same number of "
    "chosen bit flips costs it more accuracy.",
    test="Extraction fidelity at the largest number of queries, and accuracy lost to as many flips of the "
    "progressive bit search in 8-bit weights, pruned minus dense.",
    smallest="+2 points of fidelity; +2 points of accuracy lost",
    facets=(
        Facet(
            "fidelity of a copy made with the same queries",
            rise(SMALLEST),
            "share",
            readings.extraction,
            "no extraction fidelity of pruned and dense models: probe extraction",
        ),
        Facet(
            "accuracy lost to as many chosen bit flips",
            rise(SMALLEST),
            "share",
            readings.damage({"attack": "progressive"}, "flips", ""),
            "no tampering by chosen bit flips: probe tampering",
        ),
    ),
)
