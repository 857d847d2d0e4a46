"""A learned attack on SAMIA's features: probabilities, sensitivity, label (Yuan & Zhang 2022)."""

from functools import partial

import numpy as np
import torch
from scipy.special import log_softmax

from attacks._isolation import draw_seed
from attacks.membership._attack import Evidence, Judgement, MembershipAttack
from attacks.membership._learned import classified
from attacks.membership._settings import Settings
from attacks.membership._signals import scaled_confidence
from attacks.membership.noise import sensitivity


def samia(evidence: Evidence, settings: Settings, generator: torch.Generator) -> Judgement:
    """Score each example by a classifier of the paper's features, trained on the known examples.

    The features are the paper's, the classifier is not: gradient-boosted trees in place of its self-attention
    network, which wants more examples than an audit has. Probabilities are given as logarithms, sorted, and
    that of the label as log-odds, so that trees can tell confident examples apart.
    """
    del settings
    from sklearn.ensemble import HistGradientBoostingClassifier

    features = np.column_stack(
        (
            np.sort(log_softmax(evidence.logits, axis=1), axis=1),
            scaled_confidence(evidence.logits, evidence.y),
            sensitivity(evidence),
            np.eye(evidence.logits.shape[1])[evidence.y],
        )
    )
    make = partial(
        HistGradientBoostingClassifier, max_iter=50, early_stopping=False, random_state=draw_seed(generator)
    )
    return classified(features, evidence, make)


ATTACK = MembershipAttack(
    samia,
    paper="Yuan & Zhang 2022, Membership inference attacks and defenses in neural network pruning",
    level="standard",
    needs="noise",
)
