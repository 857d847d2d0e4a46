"""A planted memoriser, with references of its own kind: what an attack must find, or be in doubt."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from attacks.intervals import auc
from attacks.membership._attack import Evidence, Floats, MembershipAttack
from attacks.membership._settings import Settings

AT_MOST = 400
"""Examples of the planted model."""
FOUND = 0.95
"""AUC that an attack must be able to reach on it."""


def planted(evidence: Evidence, seed: int) -> Evidence:
    """Some of the examples, with their labels and training sets, and models that know these by heart.

    Each model gives the labels of its own training examples a logit around 10, and all else logits around 0:
    as if it had learnt random labels. Noise, shifts and flips move the logits of other examples by about a
    half, and of its own hardly; the boundary is ten times as far from these.
    """
    random = np.random.default_rng(seed)
    sides = [np.flatnonzero(evidence.member == side)[: AT_MOST // 2] for side in (True, False)]
    evidence = evidence[np.concatenate(sides)]
    refs = evidence.references
    logits = (evidence.noisy, evidence.augmented, None if refs is None else refs.logits)
    queries = 1 + max(0 if values is None else values.shape[-2] for values in logits)

    def memoriser(own: NDArray[np.bool_]) -> Floats:
        """Logits (N, queries, classes) of a model trained on those examples."""
        logits = random.normal(size=evidence.logits.shape)
        logits[np.arange(len(own)), evidence.y] += 10.0 * own
        moved = random.normal(size=(len(own), queries - 1, logits.shape[1]))
        moved *= np.where(own, 0.01, 0.5)[:, None, None]
        return np.concatenate((logits[:, None], logits[:, None] + moved), axis=1)

    ours = memoriser(evidence.member)
    if refs is not None:
        asked = refs.logits.shape[2]
        theirs = [memoriser(inside)[:, :asked].astype(np.float32) for inside in refs.inside]
        refs = replace(refs, logits=np.stack(theirs)) if theirs else refs
    return replace(
        evidence,
        logits=ours[:, 0],
        noisy=None if evidence.noisy is None else ours[:, 1 : 1 + evidence.noisy.shape[1]],
        augmented=None if evidence.augmented is None else ours[:, : evidence.augmented.shape[1]],
        references=refs,
        distances=None
        if evidence.distances is None
        else np.where(evidence.member, 1.0, 0.1) * random.uniform(0.5, 1.0, len(evidence.y)),
    )


def doubt(attack: MembershipAttack, evidence: Evidence, settings: Settings, seed: int) -> str:
    """Why the attack's figures are in doubt: it does not find the planted memoriser; empty if it does.

    An attack that does not see the label, and one that chooses among others, are not held to it.
    """
    if attack.sees == "probabilities" or attack.needs == "others":
        return ""
    control = planted(evidence, seed)
    judged = attack.run(control, settings, torch.Generator().manual_seed(seed))
    unseen = ~control.known if judged.learnt else np.ones_like(control.known)
    found = auc(judged.score[unseen], control.member[unseen])
    if found.high >= FOUND:
        return ""
    return (
        "in doubt: of a planted model that knows its members by heart this attack finds an AUC of "
        f"{found.value:.2f}, and must find {FOUND}"
    )
