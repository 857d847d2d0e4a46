"""C14: with a well-chosen method and threshold one can have the efficiency and keep the safety."""

from reports.claims import readings
from reports.claims.claim import Claim, Facet, not_higher, not_lower
from reports.claims.figures import Reading, against_dense, joined
from reports.claims.study import Cell, Method, Study
from reports.data import key

ACCURACY, ROBUST, LEAK, COPY, TAMPERED = 0.02, 0.05, 0.02, 0.05, 0.05
COMPRESSED = 0.5


def _twice(_method: Method, sparsity: float) -> bool:
    return sparsity >= COMPRESSED - 1e-9


def _robust(study: Study) -> list[Cell]:
    reading = readings.robust(study)
    return [] if reading is None else against_dense(study, reading, where=_twice)


def _leak(study: Study) -> list[Cell]:
    """The mean over the attacks that C4 is judged by."""
    read = readings.membership("membership_auc", control=False)
    return joined([cell for cell in read(study) if _twice(cell.method, cell.sparsity)])


def _copy(study: Study) -> list[Cell]:
    found = key.extraction(study.results)
    return [] if found is None else against_dense(study, Reading(found.metric, found.at), where=_twice)


def _tampered(study: Study) -> list[Cell]:
    reading = readings.tampered(study, {"attack": "progressive", "storage": "int8"}, "flips")
    return [] if reading is None else against_dense(study, reading, where=_twice)


CLAIM = Claim(
    id="C14",
    title="With a well-chosen method and threshold one can have the efficiency and keep the safety",
    sections="§9.5, §8.1",
    says="Pruning and safety can be had together, if one chooses well.",
    hypothesis="For each subject there is a method and a sparsity of at least 50% (half of the parameters"
    " gone) that is no worse than dense in any probe.",
    test="Non-inferiority to dense in all five families at once (intersection–union), for the best of all"
    " settings (Bonferroni); it fails for a subject where every setting is shown to be worse in some"
    " probe.",
    smallest="margins of 2 points of accuracy, 5 of robust accuracy, 0.02 of membership AUC, 5 points of "
    "extraction fidelity and 5 of accuracy lost to chosen bit flips",
    facets=(
        Facet(
            "test accuracy",
            not_lower(ACCURACY),
            "share",
            readings.accuracy(_twice),
            "no test accuracy at 50% sparsity or more",
        ),
        Facet("robust accuracy", not_lower(ROBUST), "share", _robust, "no robust accuracy: probe evasion"),
        Facet("membership AUC", not_higher(LEAK), "auc", _leak, "no membership AUC: probe membership"),
        Facet("fidelity of a copy", not_higher(COPY), "share", _copy, "no fidelity: probe extraction"),
        Facet(
            "accuracy lost to chosen bit flips",
            not_higher(TAMPERED),
            "share",
            _tampered,
            "no tampering by chosen bit flips: probe tampering",
        ),
    ),
    each_subject=True,
)
