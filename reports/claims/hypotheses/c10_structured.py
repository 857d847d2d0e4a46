"""C10: structured pruning costs more accuracy than weight pruning, and saves more compute."""

import numpy as np

from reports.claims import readings
from reports.claims.claim import Claim, Facet, fall, rise
from reports.claims.figures import Reading, by_seed, compared, plain
from reports.claims.study import Cell, Method, Study, pruned

SMALLEST, MORE_COMPUTE, MORE_TIME = 0.01, 0.10, 0.05
MACS, WORK, LATENCY = Reading("macs"), Reading("nonzero_macs"), Reading("latency", {"batch": 1})


def _pairs(study: Study) -> list[tuple[str, Method, float, str]]:
    return readings.twins(study, lambda m: m.kind == "structured", lambda _, other: other.kind == "weight")


def _accuracy(study: Study) -> list[Cell]:
    return compared(study, readings.TEST, _pairs(study), sound=False)


def _more_saved(study: Study, reading: Reading) -> list[Cell]:
    cells = []
    for name, method, sparsity, other in _pairs(study):
        ours, theirs = readings.saved(study, name, reading), readings.saved(study, other, reading)
        each = {seed: plain(ours[seed] - theirs[seed]) for seed in sorted(ours.keys() & theirs.keys())}
        if each:
            cells.append(Cell(study, name, method, sparsity, "", each, other))
    return cells


def _compute(study: Study) -> list[Cell]:
    return _more_saved(study, MACS)


def _time(study: Study) -> list[Cell]:
    return _more_saved(study, LATENCY)


def _equal_work(study: Study) -> list[Cell]:
    """Accuracy of structured pruning minus that of weight pruning at as many multiply-adds, zeros left out:
    read off the line between the two nearest sparsities of the same method; nothing beyond its ends."""
    cells = []
    for name, method, sparsity in ((v.name, m, s) for v, m, s in pruned(study) if m.kind == "structured"):
        work, right = by_seed(study, name, MACS), by_seed(study, name, readings.TEST)
        curves: dict[str, list[str]] = {}
        for other, twin, _ in pruned(study):
            if twin.kind == "weight" and twin.twin == method.twin:
                curves.setdefault(other.method, ["dense"]).append(other.name)
        for label, variants in sorted(curves.items()):
            each = {}
            for seed in sorted(work.keys() & right.keys()):
                found = _read_off(study, variants, seed, work[seed])
                if found is not None:
                    each[seed] = plain(right[seed] - found)
            if each:
                cells.append(
                    Cell(study, name, method, sparsity, "", each, f"{label} at as many multiply-adds")
                )
    return cells


def _read_off(study: Study, variants: list[str], seed: int, work: float) -> float | None:
    points = []
    for name in variants:
        x, y = by_seed(study, name, WORK).get(seed), by_seed(study, name, readings.TEST).get(seed)
        if x is not None and y is not None:
            points.append((x, y))
    points.sort()
    if len(points) < 2 or not points[0][0] <= work <= points[-1][0]:
        return None
    return float(np.interp(work, [x for x, _ in points], [y for _, y in points]))


CLAIM = Claim(
    id="C10",
    title="Structured pruning costs more accuracy than weight pruning, and saves more compute",
    sections="§2.1",
    says="To remove whole units is coarser: it costs more accuracy at the same strength, and saves more.",
    hypothesis="At equal sparsity, with the same schedule and hardness, removing units leaves less "
    "accuracy than zeroing weights, and saves more multiply-adds that are really carried out.",
    test="Structured minus weight pruning, same seed and sparsity: test accuracy, the share of dense's "
    "multiply-adds saved, the share of its latency saved; accuracy at as many multiply-adds, zeros left out.",
    smallest="−1 point of accuracy; +10 points of multiply-adds saved; +5 points of latency saved",
    facets=(
        Facet(
            "accuracy at equal sparsity",
            fall(SMALLEST),
            "share",
            _accuracy,
            "no structured and weight method of the same schedule and hardness",
        ),
        Facet(
            "share of multiply-adds saved",
            rise(MORE_COMPUTE),
            "share",
            _compute,
            "no multiply-adds of structured and weight methods: costs",
        ),
        Facet(
            "share of latency saved",
            rise(MORE_TIME),
            "share",
            _time,
            "no latency of structured and weight methods: costs",
            required=False,
        ),
        Facet(
            "accuracy at as many multiply-adds",
            fall(SMALLEST),
            "share",
            _equal_work,
            "no structured method whose multiply-adds lie among those of a weight method",
            required=False,
        ),
    ),
)
