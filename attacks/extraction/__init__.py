"""Model extraction: how good a copy can be trained from the model's answers?

To add an attack: one file here with a constant ``ATTACK`` of type
:class:`attacks.extraction._attack.ExtractionAttack`; its name is the attack's name in plan and report.
"""

from collections.abc import Sequence

import torch

from attacks._isolation import draw_seed
from attacks._techniques import techniques
from attacks.extraction._attack import ExtractionAttack
from attacks.extraction._settings import PACKAGE, Settings
from attacks.extraction._thief import Thief
from attacks.probe import Card, Measurement, Target, unavailable

__all__ = ["CARD", "Settings", "run"]

FIDELITY, SURROGATE_ACCURACY = "extraction_fidelity", "surrogate_accuracy"

CARD = Card(
    title="Model extraction",
    summary="How often a copy trained on the model's answers to a number of queries agrees with the model, "
    "on inputs neither was trained on, and how often the copy is right.",
    threat_model="Black box with probabilities: the attacker sends unlabelled inputs of the same kind, reads "
    "the class probabilities, knows the architecture, and trains a copy of its own from scratch.",
    limits="An attacker with other data or another architecture may do worse, one who chooses queries "
    "adaptively better. Read it against the baselines: what an untrained copy gives, and what the same data "
    "with true labels give without a query.",
    metrics=(FIDELITY, SURROGATE_ACCURACY),
    papers=(
        "Orekondy et al. 2019, Knockoff nets: stealing functionality of black-box models, arXiv:1812.02766",
        "Jagielski et al. 2020, High accuracy and high fidelity extraction of neural networks, "
        "arXiv:1909.01838",
    ),
    ids=("AML.T0024.002", "ML05:2023", "NISTAML.031"),
)


def run(target: Target, settings: Settings, generator: torch.Generator) -> Sequence[Measurement]:
    """Fidelity and surrogate accuracy on ``target.test`` for the baselines and every attack and budget.

    The baseline ``same_data`` stands beside each budget: as many examples with true labels, and no query.
    All surrogates start from the same initial weights. A budget larger than the pool is refused.
    """
    if target.pool is None or target.surrogate is None:
        lacking = "data of the attacker's own (a pool)" if target.pool is None else "a surrogate to train"
        return unavailable(CARD.metrics, "not_applicable", f"there is no {lacking}")
    pool = len(target.pool)
    thief = Thief(target, target.pool, target.surrogate, settings, seed=draw_seed(generator))
    known = techniques(PACKAGE, ExtractionAttack)
    budgets = sorted(settings.queries)
    rows = thief.rows("untrained", 0, thief.untrained())
    affordable = [queries for queries in budgets if queries <= pool]
    for examples in affordable:
        rows += thief.rows("same_data", 0, thief.same_data(examples), labelled=examples)
    for name in settings.attacks:
        for queries in budgets:
            if queries in affordable:
                rows += thief.rows(name, queries, thief.steal(known[name], queries))
            else:
                note = f"{queries} queries need as many examples in the attacker's pool; it holds {pool}"
                at: dict[str, str | int | float] = {"attack": name, "queries": queries}
                rows += [Measurement(metric, at=at, status="refused", note=note) for metric in CARD.metrics]
    return rows
