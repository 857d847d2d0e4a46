"""C2: pruning lowers robustness against attacks that the model has not seen."""

from reports.claims import readings
from reports.claims.claim import Claim, Facet, fall

SMALLEST = 0.02

CLAIM = Claim(
    id="C2",
    title="Pruning lowers robustness against attacks it has not seen",
    sections="§2.3, §3.3, §8.3, §9.2",
    says="Pruning fits the model to what it knows: against unknown attacks it is weaker.",
    hypothesis="Under attacks unlike the one tuned for, a retrained pruned model keeps less accuracy than a "
    "dense one that was trained for as long.",
    test="The same difference under attacks without gradients standing alone, attacks transferred from other "
    "models, another norm, and common corruptions of middle severity; each ε leaves dense nearest to half.",
    smallest="−2 points of accuracy",
    facets=(
        Facet(
            "accuracy under attacks unlike the one tuned for",
            fall(SMALLEST),
            "share",
            readings.unlike,
            "no attack unlike the one tuned for: probe evasion with alone, transfer, corruptions or a second "
            "norm",
        ),
    ),
)
