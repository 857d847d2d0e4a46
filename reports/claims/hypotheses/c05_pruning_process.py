"""C5: attackers can use sensitive information from the pruning process itself."""

from reports.claims import readings
from reports.claims.claim import Claim, Facet, rise
from reports.claims.study import Cell, Study

SMALLEST = 0.01


def _mask(_study: Study) -> list[Cell]:
    return []


CLAIM = Claim(
    id="C5",
    title="Attackers can use what the pruning process gives away",
    sections="§2.3",
    says="Who sees how a model was pruned (the model before, other versions, the mask) learns more of its"
    " data.",
    hypothesis="An attacker who also holds the dense model, or every version, tells members better than "
    "one who holds the pruned model alone.",
    test="Membership AUC of the same attack with and without the other models, on the same pruned model "
    "and the same examples.",
    smallest="+0.01 of AUC",
    facets=(
        Facet(
            "membership AUC gained by holding more models",
            rise(SMALLEST),
            "auc",
            readings.knowing,
            "no attacker who holds more than the pruned model: probe membership with attackers pair, "
            "versions",
        ),
        Facet(
            "what the mask alone gives away",
            rise(SMALLEST),
            "auc",
            _mask,
            "an attacker who holds the mask without any outputs is not simulated",
            required=False,
        ),
    ),
)
