"""C7: fewer parameters mean fewer chances to exploit."""

from reports.claims import readings
from reports.claims.claim import Claim, Facet, fall
from reports.claims.study import Cell, Study

SMALLEST = 0.02


def _per_model(study: Study) -> list[Cell]:
    chosen = readings.damage({"attack": "progressive"}, "flips", "chosen flips")(study)
    return [*chosen, *readings.damage({"attack": "bit_flip"}, "flips", "random flips")(study)]


CLAIM = Claim(
    id="C7",
    title="Fewer parameters mean fewer chances to exploit",
    sections="§3.3, §6.2",
    says="Where there is less, there is less to tamper with.",
    hypothesis="The same tampering costs a pruned model less accuracy: both for as many flips in the whole "
    "model and for as many in each million of its parameters.",
    test="Accuracy lost to bit flips in 8-bit weights, pruned minus dense: for as many flips per model "
    "(chosen and random), and at an equal rate per surviving parameter.",
    smallest="−2 points of accuracy lost",
    facets=(
        Facet(
            "accuracy lost to as many flips per model",
            fall(SMALLEST),
            "share",
            _per_model,
            "no tampering by a number of bit flips: probe tampering",
        ),
        Facet(
            "accuracy lost at an equal rate of flips per parameter",
            fall(SMALLEST),
            "share",
            readings.damage({"attack": "bit_flip"}, "rate", ""),
            "no tampering by a rate of bit flips: probe tampering",
        ),
    ),
)
