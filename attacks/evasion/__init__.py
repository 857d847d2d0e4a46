"""Evasion: inputs changed a little so that the model errs.

To add an attack: one file here with a constant ``ATTACK`` of type
:class:`attacks.evasion._attack.EvasionAttack`; its name is the attack's name in plan and report.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from attacks._techniques import techniques
from attacks.evasion import _adaptive, _corruptions, _cure, _pieces, _transfer, _union
from attacks.evasion._attack import Batch, EvasionAttack, reason
from attacks.evasion._features import in_own_units, in_units
from attacks.evasion._inner import worst
from attacks.evasion._settings import ART, PACKAGE, Epsilon, Settings
from attacks.evasion.health import METRIC as HEALTH
from attacks.evasion.health import diagnose
from attacks.evasion.sweep import DISTANCE, METRIC, Sweep, rows, settled
from attacks.probe import Card, Cut, Measurement, Part, Target, merged

__all__ = [
    "CARD",
    "CUT",
    "Batch",
    "Epsilon",
    "EvasionAttack",
    "Settings",
    "adaptive_problem",
    "chosen_attacks",
    "perturbations",
    "run",
    "worst",
]

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


def perturbations(
    target: Target, settings: Settings, examples: range | None = None
) -> dict[str, torch.Tensor]:
    """What fools this model on some of the test examples (all), for others to be tried with: see
    :func:`attacks.evasion._transfer.shifts`."""
    return _transfer.shifts(in_units(target), settings, examples or range(len(target.test)))


def run(target: Target, settings: Settings, generator: torch.Generator) -> Sequence[Measurement]:
    """Robust accuracy at every norm, ε and attack, and in the worst case over all attacks; the health of the
    attacks; and, where the settings ask for it, accuracy under common corruptions.

    Raises ValueError if ε or the inputs do not fit the target's bounds or the model is in training mode,
    NotFiniteError if the model returns NaN.
    """
    return CUT.whole(target, settings, generator)


def _piece(target: Target, settings: Settings, generator: torch.Generator, examples: range) -> Part:
    span = target.bounds if target.features is None else (0.0, target.features.reach)
    if problems := settings.problems(span):
        raise ValueError("; ".join(problems))
    attacks = _attacks(in_units(target), settings)
    return _pieces.piece(target, settings, attacks, generator, examples)


def _join(
    target: Target, settings: Settings, generator: torch.Generator, parts: Sequence[Part]
) -> Sequence[Measurement]:
    given, target = target, in_units(target)
    attacks = _attacks(target, settings)
    found: list[Measurement] = []
    sweeps = []
    for swept in _pieces.put_together(target, settings, attacks, generator, parts):
        whole, more = _judged(settled(swept, attacks, settings, target.batch_size), target, settings, attacks)
        whole = replace(whole, examples=in_own_units(whole.examples, target))
        sweeps.append(whole)
        found += [*rows(whole), *more]
    found += _union.rows(sweeps)
    if given.features is not None:
        words = given.features.words
        found = [replace(row, note="; ".join(note for note in (row.note, words) if note)) for row in found]
    if settings.corruptions:
        found += _corrupted(parts)
    return found


CUT = Cut(
    lambda sizes, settings: _pieces.count(sizes, _attacks(None, settings)),
    lambda settings: _pieces.passes(settings, _attacks(None, settings)),
    _piece,
    _join,
    _pieces.joining,
)


def _attacks(target: Target | None, settings: Settings) -> dict[str, EvasionAttack]:
    """The attacks of the settings, and the user's own; ``target``: in units, None where none is run."""
    attacks = chosen_attacks(settings)
    if settings.adaptive is not None or (target is not None and target.adaptive is not None):
        function, model = (None, nn.Identity()) if target is None else (target.adaptive, target.model)
        attacks[_adaptive.NAME] = _adaptive.adapted(function, model)
    return attacks


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
    more = _transfer.rows(found) if settings.transfer else []
    evidence, flags = diagnose(found, attacks, target.test.x, settings)
    try:
        found, uncured = _cure.cured(found, evidence, flags, attacks, settings, target.batch_size)
    except Exception as error:
        found, uncured = _failed(found, _cure.NAME, error), _cure.not_run(evidence, error)
    more += [flag.row(found.norm) for flag in (*flags.values(), *([uncured] if uncured else []))]
    return found, more


def _corrupted(parts: Sequence[Part]) -> list[Measurement]:
    """The rows of common corruptions; a failed one if the model or the images did not bear them."""
    hits, why = _pieces.corruptions(merged(parts))
    if why:
        return [Measurement(_corruptions.METRIC, status="failed", note=why)]
    return _corruptions.rows(hits)


def _failed(found: Sweep, name: str, error: Exception) -> Sweep:
    """The sweep, with failed rows of what could not be run; the rest goes on."""
    return replace(found, failed={**found.failed, name: reason(error)})
