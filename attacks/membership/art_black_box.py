"""A learned attack: a classifier of (predicted probabilities, true label) into members and non-members.

It is the Adversarial Robustness Toolbox's ``MembershipInferenceBlackBox``, after Shokri et al. 2017, without
shadow models: the attacker knows half of the members and as many non-members, and judges the rest.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from attacks._isolation import draw_seed, global_seed
from attacks.membership._attack import Evidence, Judgement, MembershipAttack
from attacks.membership._learned import balanced
from attacks.membership._settings import Settings


def art_black_box(evidence: Evidence, settings: Settings, generator: torch.Generator) -> Judgement:
    """Score each example by the probability that an attack model trained on the known ones gives it."""
    with global_seed(draw_seed(generator)):
        score = _infer(softmax(evidence.logits, axis=1), evidence, settings.attack_model)
    return Judgement(score, score >= 0.5, learnt=True)


def _infer(probabilities: NDArray[np.float64], evidence: Evidence, model: str) -> NDArray[np.float64]:
    """P(member) of every example, (N,)."""
    # Imported here: it takes seconds, which a command that attacks nothing should not pay.
    from art.attacks.inference.membership_inference import MembershipInferenceBlackBox
    from art.estimators.classification import BlackBoxClassifier

    victim = BlackBoxClassifier(_never, input_shape=None, nb_classes=probabilities.shape[1])
    attack = MembershipInferenceBlackBox(victim, attack_model_type=model)
    inside, outside = np.split(balanced(evidence), 2)
    attack.fit(
        pred=probabilities[inside],
        y=evidence.y[inside],
        test_pred=probabilities[outside],
        test_y=evidence.y[outside],
    )
    told = attack.infer(None, y=evidence.y, pred=probabilities, probabilities=True)
    return np.asarray(told, dtype=np.float64)[:, -1]


def _never(_: object) -> NDArray[np.float32]:
    raise AssertionError("the attack works on predictions taken beforehand and must not query the model")


ATTACK = MembershipAttack(
    art_black_box,
    paper="Shokri et al. 2017, Membership inference attacks against machine learning models",
    level="quick",
)
