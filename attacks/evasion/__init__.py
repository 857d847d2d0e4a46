"""Evasion: inputs changed a little so that the model errs.

To add an attack: one file here with a constant ``ATTACK`` of type
:class:`attacks.evasion._attack.EvasionAttack`; its name is the attack's name in plan and report.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from attacks._techniques import techniques
from attacks.evasion import _adaptive, _corruptions, _cure, _transfer, _union
from attacks.evasion._attack import EvasionAttack, reason
from attacks.evasion._settings import ART, PACKAGE, Settings
from attacks.evasion.health import METRIC as HEALTH
from attacks.evasion.health import diagnose
from attacks.evasion.sweep import DISTANCE, METRIC, Sweep, rows
from attacks.evasion.sweep import sweep as swept_in_every_norm
from attacks.probe import Card, Measurement, Target

__all__ = ["CARD", "Settings", "adaptive_problem", "chosen_attacks", "perturbations", "run"]

perturbations = _transfer.shifts
adaptive_problem = _adaptive.problem

CARD = Card(
    title="Evasion",
    summary="How often the model is still right when every test input is changed, within a radius ε, by an "
    "attacker who wants it wrong.",
    threat_model="White box: the attacker holds the model with its weights and the true label of each input, "
    "and may change every input value by up to ε within the valid range.",
    limits="An upper bound on robustness: a stronger or adaptive attack may break more. It speaks of "
    "small changes measured by the named norm, not of rotations, patches or changes of meaning.",
    metrics=(METRIC, DISTANCE, HEALTH, _corruptions.METRIC),
    papers=(
        "Goodfellow et al. 2015, Explaining and harnessing adversarial examples, arXiv:1412.6572",
        "Madry et al. 2018, Towards deep learning models resistant to adversarial attacks, arXiv:1706.06083",
        "Croce & Hein 2020, Reliable evaluation of adversarial robustness, arXiv:2003.01690",
        "Carlini et al. 2019, On evaluating adversarial robustness, arXiv:1902.06705",
        "Athalye et al. 2018, Obfuscated gradients give a false sense of security, arXiv:1802.00420",
        "Pintor et al. 2022, Indicators of attack failure, arXiv:2106.09947",
    ),
    ids=("AML.T0015", "AML.T0043", "ML01:2023", "NISTAML.022"),
)


def run(target: Target, settings: Settings, generator: torch.Generator) -> Sequence[Measurement]:
    """Robust accuracy at every norm, ε and attack, and in the worst case over all attacks; the health of the
    attacks; and, where the settings ask for it, accuracy under common corruptions.

    Raises ValueError if ε or the inputs do not fit the target's bounds or the model is in training mode,
    NotFiniteError if the model returns NaN.
    """
    if problems := settings.problems(target.bounds):
        raise ValueError("; ".join(problems))
    attacks = chosen_attacks(settings)
    if settings.adaptive is not None or target.adaptive is not None:
        attacks[_adaptive.NAME] = _adaptive.adapted(target.adaptive, target.model)
    found: list[Measurement] = []
    sweeps = []
    for swept in swept_in_every_norm(target, settings, attacks, generator):
        whole, more = _judged(swept, target, settings, attacks)
        sweeps.append(whole)
        found += [*rows(whole), *more]
    found += _union.rows(sweeps)
    if settings.corruptions:
        found += _corruptions.corrupted(target, generator)
    return found


def chosen_attacks(settings: Settings) -> dict[str, EvasionAttack]:
    """The attacks of the settings, by name."""
    known = techniques(PACKAGE, EvasionAttack)
    attacks = {}
    for name in settings.attacks:
        if name.startswith(ART):
            from attacks.evasion import _art  # it takes seconds

            attack = _art.adapted(name.removeprefix(ART), settings.art.get(name.removeprefix(ART), {}))
        else:
            attack = known[name]
        attacks[name] = replace(attack, on="all") if settings.alone and attack.sees != "gradients" else attack
    return attacks


def _judged(
    found: Sweep, target: Target, settings: Settings, attacks: dict[str, EvasionAttack]
) -> tuple[Sweep, list[Measurement]]:
    """The sweep of one norm with transfer and, where its health is in doubt, the cure; and further rows."""
    more: list[Measurement] = []
    sources = target.others() if settings.transfer and target.others is not None else {}
    if sources:
        try:
            found, more = _transfer.replayed(found, sources, settings, target.batch_size)
        except Exception as error:
            found = _failed(found, _transfer.NAME, error)
    elif settings.transfer:
        more = [_transfer.nothing(found.norm)]
    evidence, flags = diagnose(found, attacks, target.test.x, settings)
    ready_made = {name: attack for name, attack in attacks.items() if name != _adaptive.NAME}
    try:
        found = _cure.treated(found, evidence, flags, ready_made, settings, target.batch_size)
    except Exception as error:
        found = _failed(found, _cure.NAME, error)
    more += [flag.row(found.norm) for flag in flags.values()]
    return found, more


def _failed(found: Sweep, name: str, error: Exception) -> Sweep:
    """The sweep, with failed rows of what could not be run; the rest goes on."""
    return replace(found, failed={**found.failed, name: reason(error)})
