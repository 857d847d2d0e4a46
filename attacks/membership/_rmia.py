"""The robust membership inference attack: is the target likelier given the example than given others of the
population? (Zarifzadeh et al. 2024.)"""

import numpy as np
from scipy.special import softmax

from attacks.membership._attack import Evidence, Floats
from attacks.membership._lira import usable
from attacks.membership._settings import Settings
from attacks.membership._signals import true_class


def likelihood_ratios(evidence: Evidence, settings: Settings, *, online: bool) -> Floats:
    """P(x | θ) / P(x) of every example, (N,).

    P(x | θ) is the softmax probability of the label at the paper's temperature, of the plain query. Online,
    P(x) is the mean of the two means, over references that trained on x and that did not. Offline it is
    ((1 + a) P_out + (1 − a)) / 2, with a of :attr:`Settings.rmia_a`, since no reference trained on x.
    """
    references = usable(evidence, least=1, sides=2 if online else 1)
    own = _probability(evidence.logits, evidence, settings.rmia_temperature)
    theirs = np.stack(
        [
            _probability(logits[:, 0].astype(np.float64), evidence, settings.rmia_temperature)
            for logits in references.logits
        ]
    )
    outside = _mean(theirs, ~references.inside)
    if online:
        return own / ((outside + _mean(theirs, references.inside)) / 2)
    a = settings.rmia_a
    return own / (((1 + a) * outside + (1 - a)) / 2)


def rmia(evidence: Evidence, settings: Settings, *, online: bool) -> Floats:
    """Share of population examples z with ratio(x) / ratio(z) ≥ γ, for every x, (N,).

    The population is the known non-members, treated as x is; so the score is judged on the other half. P(z)
    is the same whichever x is asked about, so that for one target the score is a rising step function of
    ratio(x): it has |Z| + 1 levels, and many members may tie at 1.
    """
    ratios = likelihood_ratios(evidence, settings, online=online)
    population = np.sort(ratios[evidence.known & ~evidence.member])
    beaten = np.searchsorted(population, ratios / settings.rmia_gamma, side="right")
    return np.asarray(beaten / len(population), dtype=np.float64)


def _probability(logits: Floats, evidence: Evidence, temperature: float) -> Floats:
    """Probability of the label, (N,), above zero."""
    found: Floats = true_class(softmax(logits / temperature, axis=1), evidence.y).clip(min=1e-300)
    return found


def _mean(values: Floats, chosen: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Floats:
    """Mean of each example's chosen values, (R, N) each → (N,)."""
    found: Floats = np.where(chosen, values, 0).sum(axis=0) / chosen.sum(axis=0)
    return found
