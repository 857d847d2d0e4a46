"""C11: layer-wise pruning balances accuracy and strength better."""

from collections.abc import Callable

from reports.claims import readings
from reports.claims.claim import Claim, Facet, rise
from reports.claims.figures import Reading, compared
from reports.claims.study import Cell, Method, Study

SMALLEST, SMALLEST_ROBUST = 0.01, 0.02
OTHERS = {"global": "against one ranking over all layers", "uniform": "against the same share of each layer"}


def _like(allocation: str) -> Callable[[Method, Method], bool]:
    def alike(ours: Method, theirs: Method) -> bool:
        same = (ours.units, ours.criterion) == (theirs.units, theirs.criterion)
        return same and theirs.allocation == allocation

    return alike


def _against(study: Study, reading: Reading, *, sound: bool) -> list[Cell]:
    return [
        cell
        for allocation, part in OTHERS.items()
        for cell in compared(
            study,
            reading,
            readings.twins(study, lambda m: m.kind == "layer-wise", _like(allocation)),
            part=part,
            sound=sound,
        )
    ]


def _accuracy(study: Study) -> list[Cell]:
    return _against(study, readings.TEST, sound=False)


def _robust(study: Study) -> list[Cell]:
    reading = readings.robust(study)
    return [] if reading is None else _against(study, reading, sound=True)


CLAIM = Claim(
    id="C11",
    title="Layer-wise pruning balances accuracy and strength better",
    sections="§2.1",
    says="To prune the least important layers first keeps more of the model at the same strength.",
    hypothesis="At equal sparsity, spending the budget layer by layer, by sensitivity, leaves more "
    "accuracy and more robust accuracy than one ranking over all layers, and than the same "
    "share of each.",
    test="Layer-wise minus global and minus uniform allocation of the same criterion, schedule and "
    "hardness, same seed and sparsity.",
    smallest="+1 point of accuracy; +2 points of robust accuracy",
    facets=(
        Facet(
            "accuracy at equal sparsity",
            rise(SMALLEST),
            "share",
            _accuracy,
            "no layer-wise method beside a global or uniform one of the same criterion, schedule and "
            "hardness",
        ),
        Facet(
            "robust accuracy at equal sparsity",
            rise(SMALLEST_ROBUST),
            "share",
            _robust,
            "no robust accuracy of a layer-wise method beside a global or uniform one",
        ),
    ),
)
