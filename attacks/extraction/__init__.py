"""Model extraction: how good a copy can be trained from the model's answers?

To add an attack: one file here with a constant ``ATTACK`` of type
:class:`attacks.extraction._attack.ExtractionAttack`; its name is the attack's name in plan and report.
"""

from collections.abc import Sequence

import torch

from attacks._isolation import draw_seed
from attacks.extraction import _judge, _thieves
from attacks.extraction._settings import Settings
from attacks.probe import Card, Measurement, Target, unavailable

__all__ = ["CARD", "Settings", "run"]

CARD = Card(
    title="Model extraction",
    summary="How often a copy trained on the model's answers to a number of queries agrees with the model, "
    "on inputs neither was trained on, and how often the copy is right.",
    threat_model="Black box with probabilities, unless the settings say otherwise: the attacker sends "
    "unlabelled inputs of the same kind, reads the class probabilities, knows the architecture, and trains a "
    "copy of its own from scratch.",
    limits="An attacker with other data or another architecture may do worse, one with more queries or a "
    "longer training better. Read it against the baselines: what an untrained copy gives, and what the same "
    "data with true labels give without a query.",
    metrics=(*_judge.PER_BUDGET, _judge.GAIN, _judge.QUERIES, *_judge.ADVERSARIAL),
    papers=(
        "Orekondy et al. 2019, Knockoff nets: stealing functionality of black-box models, arXiv:1812.02766",
        "Jagielski et al. 2020, High accuracy and high fidelity extraction of neural networks, "
        "arXiv:1909.01838",
        "Pal et al. 2020, ActiveThief: model extraction using active learning and unannotated public data",
        "Papernot et al. 2017, Practical black-box attacks against machine learning, arXiv:1602.02697",
    ),
    ids=("AML.T0024.002", "ML05:2023", "NISTAML.031"),
)


def run(target: Target, settings: Settings, generator: torch.Generator) -> Sequence[Measurement]:
    """Figures of the baselines, and of every attack at every budget, on ``target.test``.

    The baseline ``same_data`` stands beside each budget: as many examples with true labels, and no query.
    With several replicates, each is an attacker of its own, with its own inputs, initial weights and luck.
    A budget larger than the pool is refused to attacks that send the pool; an attack that fails has failed
    rows, and the others go on. Raises NotFiniteError if the victim returns NaN, ValueError if it has not a
    logit a class.
    """
    if target.pool is None or target.surrogate is None:
        lacking = "data of the attacker's own (a pool)" if target.pool is None else "a surrogate to train"
        return unavailable(CARD.metrics, "not_applicable", f"there is no {lacking}")
    return _thieves.rows(target, target.pool, settings, draw_seed(generator))
