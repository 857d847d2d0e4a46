"""Membership inference: who was in the training set?

To add an attack: one file here with a constant ``ATTACK`` of type
:class:`attacks.membership._attack.MembershipAttack`; its name is the attack's name in plan and report.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce

import numpy as np
import torch

from attacks._isolation import draw_seed
from attacks._techniques import techniques
from attacks.membership._attack import Evidence, Judgement, MembershipAttack, UnfitError
from attacks.membership._game import FEWEST, Game, overlap
from attacks.membership._knowledge import STACKED, together
from attacks.membership._planted import doubt
from attacks.membership._references import answers, halves, judged_of, population
from attacks.membership._rows import AUC, BALANCED_ACCURACY, TPR, At, rows, without
from attacks.membership._settings import PACKAGE, Settings
from attacks.probe import Card, Held, Measurement, Status, Target

__all__ = ["CARD", "Settings", "answers", "halves", "judged_of", "plays", "population", "run"]

CARD = Card(
    title="Membership inference",
    summary="How well an attacker who sees the model's outputs can tell an example that it was trained on "
    "from one that it never saw; an AUC of 0.5 is guessing.",
    threat_model="Black box with probabilities: the attacker may query the model, knows the true label of "
    "each example, and knows for half of the examples whether they were members; it judges the other half. "
    "With reference models, it also has the training recipe and data of the same kind, among them the "
    "examples in question.",
    limits="A lower bound: a better attacker, or more reference models, find more. An average over examples "
    "can hide a few that leak fully: read the rate at a low false-positive rate. A model given by its "
    "weights alone is attacked without reference models, which as a rule find more where few are accused.",
    metrics=(AUC, BALANCED_ACCURACY, TPR),
    papers=(
        "Yeom et al. 2018, Privacy risk in machine learning, arXiv:1709.01604",
        "Shokri et al. 2017, Membership inference attacks against machine learning models, arXiv:1610.05820",
        "Song & Mittal 2021, Systematic evaluation of privacy risks of machine learning models, "
        "arXiv:2003.10595",
        "Carlini et al. 2022, Membership inference attacks from first principles, arXiv:2112.03570",
        "Yuan & Zhang 2022, Membership inference attacks and defenses in neural network pruning, "
        "arXiv:2202.03335",
        "Bertran et al. 2023, Scalable membership inference attacks via quantile regression, "
        "arXiv:2307.03694",
        "Zarifzadeh et al. 2024, Low-cost high-power membership inference attacks, arXiv:2312.03262",
    ),
    ids=("AML.T0024.000", "ML04:2023", "NISTAML.033"),
)


def run(target: Target, settings: Settings, generator: torch.Generator) -> Sequence[Measurement]:
    """AUC, balanced accuracy and true-positive rates at low false-positive rates, for every attack.

    At most ``settings.examples`` members and as many non-members are judged, the same for all models that
    share the data; so is the half whose membership the attacker knows. The two sides need not be as many: no
    figure depends on their share. What was learnt on the known half is judged on the other, and n is then the
    smaller side of that half. A figure that the data cannot support is refused; an attack that crashes, or
    does not find a planted memoriser, has failed rows that say so.
    """
    if target.members is None or target.nonmembers is None:
        side = "trained" if target.members is None else "not trained"
        return _all(settings, "not_applicable", f"the examples that the model was {side} on are not known")
    game = Game(target, target.members, target.nonmembers, settings)
    count = tuple(map(len, game.sides))
    if min(count) < FEWEST:
        note = f"{count[0]} members and {count[1]} non-members are too few to attack"
        return _all(settings, "refused", f"{note}: at least {FEWEST} of each are needed")
    if shared := overlap(target.members, target.nonmembers):
        return _all(settings, "refused", shared)
    game.alone()  # a model that cannot be asked is no attack's fault
    return list(_Player(game, target, settings, draw_seed(generator)).rows())


def plays(settings: Settings) -> Iterator[tuple[str, str]]:
    """(attack, attacker) of every play, those that choose among others last; the usual attacker is "" ."""
    known = techniques(PACKAGE, MembershipAttack)
    for name in sorted(settings.attacks, key=lambda name: known[name].needs == "others"):
        yield name, ""
    for attacker in settings.attackers:
        for name in settings.attacks:
            if (known[name].needs == "references") if attacker == "recipe_unknown" else (name in STACKED):
                yield name, attacker


def _at(name: str, attacker: str) -> At:
    """Conditions of a row; the name has the attacker, too, so that a name alone finds one row."""
    return {"attack": f"{name}@{attacker}", "attacker": attacker} if attacker else {"attack": name}


def _all(settings: Settings, status: Status, note: str) -> list[Measurement]:
    """The rows that would have been, each with the reason why it is not."""
    return [row for play in plays(settings) for row in without(settings, _at(*play), status, note)]


class _Player:
    """Runs every attack by every attacker on one game."""

    def __init__(self, game: Game, target: Target, settings: Settings, seed: int) -> None:
        self._game, self._target, self._settings, self._seed = game, target, settings, seed
        self._known = techniques(PACKAGE, MembershipAttack)
        self._held: dict[str, Held] | None = None
        self._judged: dict[str, tuple[Judgement, Evidence]] = {}
        self._doubts: dict[str, str] = {}

    def rows(self) -> Iterator[Measurement]:
        """Every row; an attack that cannot be run, or crashes, has rows that say why."""
        for name, attacker in plays(self._settings):
            at = _at(name, attacker)
            try:
                judged, evidence = self._play(name, attacker)
                if why := self._doubt(name, evidence):
                    yield from without(self._settings, at, "failed", why)
                    continue
            except UnfitError as reason:
                yield from without(self._settings, at, "not_applicable", str(reason))
            except Exception as error:  # one attack that crashes leaves the others' figures as they are
                yield from without(self._settings, at, "failed", f"{type(error).__name__}: {error}")
            else:
                index = self._game.index[evidence.places]
                note = evidence.references.note if evidence.references is not None else ""
                used = note if self._known[name].needs == "references" else ""
                yield from rows(judged, evidence, index, self._settings, at, used)

    def _play(self, name: str, attacker: str) -> tuple[Judgement, Evidence]:
        attack, game = self._known[name], self._game
        if attacker == "recipe_unknown":
            evidence = game.referenced(dense=self._target.dense_references is not None)
        elif attacker:
            return self._stacked(attack, attacker)
        elif attack.needs == "references":
            evidence = game.referenced()
        elif attack.needs == "labels":
            evidence = game.near_boundary()
        elif attack.needs == "others":
            evidence = self._common()
        else:
            evidence = game.alone()
        judged = attack.run(evidence, self._settings, torch.Generator().manual_seed(self._seed))
        if not attacker and attack.needs != "labels":
            self._judged[name] = judged, evidence
        return judged, evidence

    def _stacked(self, attack: MembershipAttack, attacker: str) -> tuple[Judgement, Evidence]:
        """What an attacker finds who holds other models of the same members, too."""
        if self._target.held is None:
            raise UnfitError("there is no other model that was trained on the same members")
        if self._held is None:
            self._held = dict(self._target.held())
        names = [name for name in self._held if attacker == "versions" or name == "dense"]
        if attack.needs == "references":
            own = self._game.referenced()
            held = [own, *(self._game.referenced(name, self._held[name]) for name in names)]
        else:
            own = self._game.alone()
            held = [own, *(self._game.alone(name, self._held[name]) for name in names)]
        return together(attack, held, self._settings, self._seed)[0], own

    def _common(self) -> Evidence:
        """The examples that every attack judged, with all their judgements."""
        if not self._judged:
            raise UnfitError("there is no other attack to choose from")
        everywhere = reduce(np.intersect1d, [e.places for _, e in self._judged.values()])
        others = {}
        for name, (judged, evidence) in self._judged.items():
            some = np.isin(evidence.places, everywhere)
            others[name] = Judgement(judged.score[some], judged.decision[some], judged.learnt)
        return replace(self._game.alone()[everywhere], others=others)

    def _doubt(self, name: str, evidence: Evidence) -> str:
        """Why the attack's figures are in doubt, once for all attackers."""
        if name not in self._doubts:
            self._doubts[name] = doubt(self._known[name], evidence, self._settings, self._seed)
        return self._doubts[name]
