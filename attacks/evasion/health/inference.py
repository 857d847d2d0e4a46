"""Signs in what was not attacked: what stands since an attack failed at a larger ε breaks where it stands."""

from attacks.evasion._inference import LIMIT, Trial
from attacks.evasion.health._flag import Flag


def inferred_wrongly(trial: Trial) -> Flag:
    """Of a sample of what was inferred to stand at an ε, what breaks there; see
    :mod:`attacks.evasion._inference`."""
    what = "broken at an ε at which they were inferred to stand."
    return Flag("inferred_wrongly", LIMIT, trial.hits, what)
