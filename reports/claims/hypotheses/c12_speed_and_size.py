"""C12: pruning speeds up inference and shrinks the model."""

from reports.claims import readings
from reports.claims.claim import Claim, Facet, rise

SMALLER, LESS_WORK, FASTER = 0.10, 0.10, 0.05

CLAIM = Claim(
    id="C12",
    title="Pruning speeds up inference and shrinks the model",
    sections="§3.3, §9.1",
    says="A pruned model is smaller and faster.",
    hypothesis="A pruned model takes less room on disk, carries out fewer multiply-adds, and answers sooner.",
    test="The share of dense's bytes (zeros left out), multiply-adds and measured latency that is saved.",
    smallest="10% of the bytes; 10% of the multiply-adds; 5% of the latency",
    facets=(
        Facet(
            "share of bytes on disk saved",
            rise(SMALLER),
            "share",
            readings.savings("compressed_bytes"),
            "no bytes on disk: costs",
        ),
        Facet(
            "share of multiply-adds saved",
            rise(LESS_WORK),
            "share",
            readings.savings("macs"),
            "no multiply-adds: costs",
        ),
        Facet(
            "share of latency saved",
            rise(FASTER),
            "share",
            readings.savings("latency", {"batch": 1}),
            "no measured latency: costs",
        ),
    ),
)
