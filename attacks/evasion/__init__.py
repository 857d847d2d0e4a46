"""Evasion: inputs changed a little so that the model errs.

To add an attack: one file here with a constant ``ATTACK`` of type
:class:`attacks.evasion._attack.EvasionAttack`; its name is the attack's name in plan and report.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import nn

from attacks._techniques import techniques
from attacks.evasion import _adaptive, _corruptions, _costs, _transfer, _union, health
from attacks.evasion._attack import Batch, EvasionAttack
from attacks.evasion._cure import cure
from attacks.evasion._effort import Effort
from attacks.evasion._features import in_own_units, in_units
from attacks.evasion._inner import worst
from attacks.evasion._means import looked_for
from attacks.evasion._pieces import Ground
from attacks.evasion._rows import DISTANCE, METRIC, rows
from attacks.evasion._settings import ART, PACKAGE, Epsilon, Settings
from attacks.evasion._uncured import with_cure
from attacks.evasion.health._evidence import SAMPLE
from attacks.evasion.sweep import corruptions, inferred, pictures, rest, tried_out
from attacks.probe import Card, Cut, Measurement, Part, Sizes, Stage, Target

__all__ = [
    "CARD",
    "CUT",
    "Batch",
    "Effort",
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
    metrics=(METRIC, DISTANCE, health.METRIC, _corruptions.METRIC),
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


def _first(
    target: Target, settings: Settings, generator: torch.Generator, known: Part, examples: range
) -> Part:
    span = target.bounds if target.features is None else (0.0, target.features.reach)
    if problems := settings.problems(span):
        raise ValueError("; ".join(problems))
    attacks = _attacks(in_units(target), settings)
    return tried_out(target, settings, attacks, generator, known, examples)


def _later(
    *works: Callable[[Ground, range], Part],
) -> Callable[[Target, Settings, torch.Generator, Part, range], Part]:
    """A stage on the ground that the stages before it left."""

    def piece(
        target: Target, settings: Settings, generator: torch.Generator, known: Part, examples: range
    ) -> Part:
        ground = _ground(target, settings, generator, known)
        return {name: values for work in works for name, values in work(ground, examples).items()}

    return piece


def _ground(target: Target, settings: Settings, generator: torch.Generator, known: Part) -> Ground:
    return Ground.of(target, settings, _attacks(in_units(target), settings), generator, known)


def _join(
    target: Target, settings: Settings, generator: torch.Generator, known: Part
) -> Sequence[Measurement]:
    ground = _ground(target, settings, generator, known)
    found: list[Measurement] = []
    sweeps = []
    for norm, swept in ground.sweeps.items():
        flags = health.flags(ground, norm)
        final, uncured = with_cure(ground, norm, [name for name, flag in flags.items() if flag.raised])
        final = replace(final, examples=in_own_units(final.examples, ground.target))
        sweeps.append(final)
        found += [*rows(final), *(_transfer.rows(swept) if settings.transfer else [])]
        found += [flag.row(norm) for flag in (*flags.values(), *([uncured] if uncured else []))]
    found += _union.rows(sweeps)
    if target.features is not None:
        words = target.features.words
        found = [replace(row, note="; ".join(note for note in (row.note, words) if note)) for row in found]
    if settings.corruptions:
        hits, why = corruptions(known)
        failed = Measurement(_corruptions.METRIC, status="failed", note=why)
        found += [failed] if why else _corruptions.rows(hits)
    return found


def _everyone(sizes: Sizes, settings: Settings) -> int:
    del settings
    return sizes.test


def _sample(sizes: Sizes, settings: Settings) -> int:
    del settings
    return min(SAMPLE, sizes.test)


def _one(sizes: Sizes, settings: Settings) -> int:
    del settings
    return min(1, sizes.test)


CUT = Cut(
    (
        Stage("attacks", _everyone, lambda s: _costs.attacks(s, _attacks(None, s)), _first),
        Stage("inference", _sample, lambda s: _costs.trial(s, _attacks(None, s)), _later(inferred)),
        Stage("every ε", _everyone, lambda s: _costs.attacks(s, _attacks(None, s)), _later(rest), rare=True),
        Stage("health", _sample, _costs.health, _later(health.examined)),
        Stage("pictures and views", _one, lambda s: _costs.views(s, _attacks(None, s)),
              _later(pictures, looked_for)),
        Stage("cure", _everyone, lambda s: _costs.cure(s, _attacks(None, s)), _later(cure), rare=True),
    ),
    _join,
)  # fmt: skip


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
