"""Evasion: inputs changed a little so that the model errs.

To add an attack: one file here with a constant ``ATTACK`` of type
:class:`attacks.evasion._attack.EvasionAttack`; its name is the attack's name in plan and report.
"""

from collections.abc import Sequence

import torch

from attacks._techniques import techniques
from attacks.evasion._attack import EvasionAttack
from attacks.evasion._settings import PACKAGE, Settings
from attacks.evasion.sweep import DISTANCE, METRIC, robust_curves
from attacks.probe import Card, Measurement, Target

__all__ = ["CARD", "Settings", "run"]

CARD = Card(
    title="Evasion",
    summary="How often the model is still right when every test input is changed, within a radius ε, by an "
    "attacker who wants it wrong.",
    threat_model="White box: the attacker holds the model with its weights and the true label of each input, "
    "and may change every input value by up to ε within the valid range.",
    limits="An upper bound on robustness: a stronger or adaptive attack may break more. It speaks of "
    "small changes measured by the named norm, not of rotations, patches or changes of meaning.",
    metrics=(METRIC, DISTANCE),
    papers=(
        "Goodfellow et al. 2015, Explaining and harnessing adversarial examples, arXiv:1412.6572",
        "Madry et al. 2018, Towards deep learning models resistant to adversarial attacks, arXiv:1706.06083",
        "Carlini et al. 2019, On evaluating adversarial robustness, arXiv:1902.06705",
    ),
    ids=("AML.T0015", "AML.T0043", "ML01:2023", "NISTAML.022"),
)


def run(target: Target, settings: Settings, generator: torch.Generator) -> Sequence[Measurement]:
    """Robust accuracy at every norm, ε and attack, and in the worst case over all attacks.

    Raises ValueError if ε or the inputs do not fit the target's bounds or the model is in training mode,
    NotFiniteError if the model returns NaN.
    """
    if problems := settings.problems(target.bounds):
        raise ValueError("; ".join(problems))
    known = techniques(PACKAGE, EvasionAttack)
    return robust_curves(target, settings, {name: known[name] for name in settings.attacks}, generator)
