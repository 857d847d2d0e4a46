"""The game that every attack plays: the same members and non-members, half of them known to the attacker."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from attacks._model import target_logits
from attacks._sampling import fixed_sample
from attacks._techniques import techniques
from attacks.membership._attack import Evidence, MembershipAttack, UnfitError
from attacks.membership._boundary import distances
from attacks.membership._queries import asked, images, noisy, shifts_and_flip
from attacks.membership._references import read, sound
from attacks.membership._settings import PACKAGE, Settings
from attacks.probe import Examples, Held, References, Target

FEWEST = 4
"""Members and non-members, each, below which nothing is attacked."""


def overlap(members: Examples, nonmembers: Examples) -> str:
    """Which non-members are members, too, by their inputs, in words; empty if none is."""
    inside = {row.tobytes() for row in members.x.flatten(1).cpu().numpy()}
    both = [i for i, row in enumerate(nonmembers.x.flatten(1).cpu().numpy()) if row.tobytes() in inside]
    if not both:
        return ""
    first = ", ".join(map(str, both[:5]))
    return (
        f"{len(both)} of {len(nonmembers)} non-members have the very inputs of members (the first: {first}): "
        "leave these examples out of one of the two splits"
    )


class Game:
    """One target's evidence, gathered as attacks ask for it.

    Attacks without references judge at most ``settings.examples`` of each side; those with references the
    beginning of these, which the references were trained on halves of.
    """

    def __init__(self, target: Target, members: Examples, nonmembers: Examples, settings: Settings) -> None:
        self._target, self._settings = target, settings
        self._all = (len(members), len(nonmembers))
        self.sides = (fixed_sample(members, settings.examples), fixed_sample(nonmembers, settings.examples))
        known = techniques(PACKAGE, MembershipAttack)
        self._needs = {known[name].needs for name in settings.attacks}
        self._alone: dict[str, Evidence] = {}
        self._with: dict[tuple[str, bool], Evidence] = {}
        self._near: Evidence | None = None

    @property
    def index(self) -> NDArray[np.int64]:
        """Each judged example's place among all members, or among all non-members."""
        places = [
            fixed_sample(Examples(torch.arange(count), torch.arange(count)), self._settings.examples).y
            for count in self._all
        ]
        return torch.cat(places).numpy()

    def alone(self, held: str = "", model: Held | None = None) -> Evidence:
        """What the target, or another model that the attacker holds, says of all judged examples."""
        if held not in self._alone:
            target = self._target if model is None else replace(self._target, model=model.model)
            self._alone[held] = self._gather(target, whole=model is None)
        return self._alone[held]

    def referenced(self, held: str = "", model: Held | None = None, *, dense: bool = False) -> Evidence:
        """The same with references, of the examples that they were asked about.

        ``dense``: those that were left dense. Raises UnfitError, with the reason, where there are none.
        """
        key = (held, dense)
        if key not in self._with:
            found = read(self._target, self._settings, dense=dense) if model is None else model.references()
            self._with[key] = self._joined(self.alone(held, model), found)
        return self._with[key]

    def near_boundary(self) -> Evidence:
        """What the target says of the first examples of each side, and how far from its boundary they lie."""
        if self._near is None:
            some = [np.arange(min(self._settings.boundary_examples, len(side))) for side in self.sides]
            judged = self.alone()[np.concatenate((some[0], len(self.sides[0]) + some[1]))]
            x, y = (
                torch.cat([getattr(side, key)[: len(s)] for side, s in zip(self.sides, some, strict=True)])
                for key in ("x", "y")
            )
            found = distances(self._target, Examples(x, y), self._settings.boundary_queries)
            self._near = replace(judged, distances=found)
        return self._near

    def _joined(self, evidence: Evidence, references: References | None) -> Evidence:
        if references is None or len(references) == 0:
            raise UnfitError("there are no reference models" if references is None else references.note)
        judged = evidence[self._places(references)]
        kept = tuple(
            np.arange(start, start + min(there, len(side)))
            for start, there, side in zip(
                (0, references.members),
                (references.members, references.inside.shape[1] - references.members),
                self.sides,
                strict=True,
            )
        )
        references = sound(references[np.concatenate(kept)], judged.y)
        if len(references) == 0:
            raise UnfitError(references.note)
        return replace(judged, references=references)

    def _places(self, references: References | None) -> NDArray[np.intp]:
        """Where the references' examples stand among all judged ones."""
        assert references is not None
        first = len(self.sides[0])
        others = references.inside.shape[1] - references.members
        return np.concatenate(
            (
                np.arange(min(references.members, first)),
                first + np.arange(min(others, len(self.sides[1]))),
            )
        )

    def _gather(self, target: Target, *, whole: bool) -> Evidence:
        """The model's outputs on both sides, each in a fixed random order; every other one is known.

        ``whole``: with all that any attack may want; else for those that are run on several models.
        """
        members, nonmembers = self.sides
        x, y = torch.cat((members.x, nonmembers.x)), torch.cat((members.y, nonmembers.y))
        scale = self._settings.noise * (target.bounds[1] - target.bounds[0])
        shifted = images(x) and ((whole and "images" in self._needs) or self._settings.augmented_references)
        return Evidence(
            logits=target_logits(target, Examples(x, y)).double().numpy(),
            y=y.cpu().numpy(),
            member=np.repeat([True, False], [len(members), len(nonmembers)]),
            known=np.concatenate([np.arange(len(side)) % 2 == 0 for side in self.sides]),
            x=x.flatten(1).cpu().numpy() if whole and "inputs" in self._needs else None,
            noisy=asked(target, noisy(x, scale, self._settings.noise_draws, target.bounds))
            if whole and "noise" in self._needs
            else None,
            augmented=asked(target, shifts_and_flip(x)) if shifted else None,
        )
