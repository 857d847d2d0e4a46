"""What a membership attack is given, and what it says of itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from attacks.probe import References

if TYPE_CHECKING:
    from attacks.membership._settings import Settings

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judgement:
    """An attacker's opinion of each example. Both (N,)."""

    score: Floats
    """Higher: more likely a member."""
    decision: NDArray[np.bool_]
    """Taken for a member: by a rule chosen on the known examples, hence judged on the others only."""
    learnt: bool = False
    """Whether the score, too, was learnt on the known examples; else it speaks of all."""
    by: tuple[NDArray[np.int64], tuple[str, ...]] | None = None
    """Of an ensemble: which attack the score is owed to, (N,), as an index into the names."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the model says of members and non-members, N examples in all.

    The attacker knows the membership of one half, the same for every model: what is learnt or chosen (a
    model, a threshold) comes from there, and is judged on the other half. The halves do not change
    places: two rules, each learnt on what the other is judged on, err together, and no interval of
    independent examples holds their mean (of 95% intervals 88 to 93% did).
    """

    logits: Floats
    """(N, classes)."""
    y: NDArray[np.int64]
    """True labels (N,)."""
    member: NDArray[np.bool_]
    """(N,)."""
    known: NDArray[np.bool_]
    """Which examples' membership the attacker knows, (N,): half of the members and of the others, ± 1."""
    x: NDArray[np.float32] | None = None
    """Inputs, flat (N, values), where an attack looks at them."""
    noisy: Floats | None = None
    """Logits of inputs with small noise, (N, draws, classes)."""
    augmented: Floats | None = None
    """Logits of the input and of its shifts and flips, (N, queries, classes); of images only."""
    references: References | None = None
    """What models of known training sets say of the same examples, in the same order."""
    distances: Floats | None = None
    """How far each input lies from the decision boundary, (N,)."""
    others: Mapping[str, Judgement] = field(default_factory=dict)
    """What the attacks before said of the same examples, by name."""
    within: NDArray[np.intp] | None = None
    """Where the examples stand among all that are judged, rising, (N,); None: they are all."""

    @property
    def places(self) -> NDArray[np.intp]:
        """Where the examples stand among all that are judged, (N,)."""
        return np.arange(len(self.y)) if self.within is None else self.within

    def __getitem__(self, index: NDArray[np.intp]) -> "Evidence":
        """Those examples alone."""
        refs = self.references

        def some(values: Floats | None) -> Floats | None:
            return None if values is None else values[index]

        return replace(
            self,
            logits=self.logits[index],
            y=self.y[index],
            member=self.member[index],
            known=self.known[index],
            x=None if self.x is None else self.x[index],
            noisy=some(self.noisy),
            augmented=some(self.augmented),
            references=None if refs is None else refs[index],
            distances=some(self.distances),
            others={},
            within=self.places[index],
        )


class UnfitError(ValueError):
    """One attack cannot be run on this evidence; the message says why."""


@dataclass(frozen=True, slots=True)
class MembershipAttack:
    """One technique: its module's name is its name in plan and report."""

    run: Callable[[Evidence, "Settings", torch.Generator], Judgement]
    """(evidence, settings, generator) → judgement of every example by what the known ones teach."""
    paper: str
    level: Literal["quick", "standard", "thorough"] | None = None
    """The lowest level of a plan that runs it; None: only plans that name it do."""
    needs: Literal["outputs", "labels", "inputs", "noise", "images", "references", "others"] = "outputs"
    """What of the evidence it uses beside the outputs and labels; "labels" are only the model's decisions
    around the examples, "references" models of known training sets, "others" all other attacks'
    judgements."""
    sees: Literal["probabilities", "label and probabilities"] = "label and probabilities"
    """Without the label an attacker cannot tell a confident error from a confident hit."""


def threshold_decision(score: Floats, evidence: Evidence) -> NDArray[np.bool_]:
    """Decide by the threshold of highest balanced accuracy on the known examples, (N,) bool."""
    known = evidence.known
    decision: NDArray[np.bool_] = score >= best_threshold(score[known], evidence.member[known])
    return decision


def thresholded(score: Floats, evidence: Evidence, *, learnt: bool = False) -> Judgement:
    """The judgement by a score and its best threshold on the known examples."""
    return Judgement(score, threshold_decision(score, evidence), learnt)


def best_threshold(score: Floats, member: NDArray[np.bool_]) -> float:
    """The t for which "score ≥ t is a member" has the highest balanced accuracy; the highest t of equals.

    Lies halfway between two neighbouring scores, so that it favours neither; infinite if calling no one a
    member is best. (N,) each; both sides must be present.
    """
    order = np.argsort(-score, kind="stable")
    ranked, inside = score[order], member[order]
    tpr = np.concatenate(([0.0], np.cumsum(inside) / inside.sum()))
    fpr = np.concatenate(([0.0], np.cumsum(~inside) / (~inside).sum()))
    usable = np.concatenate(([True], ranked[1:] < ranked[:-1], [True]))
    taken = int(np.argmax(np.where(usable, tpr - fpr, -np.inf)))
    if taken == 0:
        return float("inf")
    if taken == len(ranked):
        return float("-inf")
    return float((ranked[taken - 1] + ranked[taken]) / 2)
