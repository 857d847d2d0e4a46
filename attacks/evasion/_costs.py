"""How long the stages of evasion take, roughly, in forward and backward passes of one example."""

from collections.abc import Mapping

from attacks.evasion._attack import EvasionAttack
from attacks.evasion._settings import Settings
from attacks.evasion.apgd_t import ATTACK as APGD_T
from attacks.evasion.pgd import ATTACK as PGD
from attacks.evasion.square import ATTACK as SQUARE

CHECKS = 300.0
"""Of each example of the sample, in one norm."""
KEPT = 3
"""Examples that are attacked once more to be shown."""


def attacks(settings: Settings, chosen: Mapping[str, EvasionAttack]) -> float:
    """A quarter of what every attack in full would take, since most examples break early; half of it where
    each attack gets all examples. What nothing breaks takes up to four times as long."""
    each = sum(attack.passes(settings) for attack in chosen.values()) / (2 if settings.alone else 4)
    radii = [len(settings.radii(norm)) if settings.every_eps else 1 for norm in settings.norms]
    return max(20.0, each * sum(radii))


def trial(settings: Settings, chosen: Mapping[str, EvasionAttack]) -> float:
    """Of the cheapest attack that infers, of each example of the sample."""
    costs = [attack.cost for attack in chosen.values() if attack.search == "smallest"]
    return float(min(costs, default=0)) * settings.restarts * len(settings.norms)


def health(settings: Settings) -> float:
    """Of each example of the sample."""
    return CHECKS * len(settings.norms)


def views(settings: Settings, chosen: Mapping[str, EvasionAttack]) -> float:
    """In all; a view is only wanted where a flag is raised, but pictures always are."""
    return KEPT * sum(attack.passes(settings) for attack in chosen.values()) * len(settings.norms)


def cure(settings: Settings, chosen: Mapping[str, EvasionAttack]) -> float:
    """An eighth of what its attacks in full would take at two ε: most examples are broken already."""
    gradients = [attack for attack in chosen.values() if attack.sees == "gradients"]
    each = sum(2 * attack.passes(settings) for attack in (PGD, APGD_T, SQUARE, *gradients))
    return min(each * len(settings.norms) / 4, float(settings.cure_passes))
