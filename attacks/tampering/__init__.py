"""Weight tampering: how little must be changed in the stored weights for the model to err?

To add an attack: one file here with a constant ``ATTACK`` of type
:class:`attacks.tampering._attack.TamperingAttack`; its name is the attack's name in plan and report.
"""

from collections.abc import Sequence

import torch

from attacks._isolation import draw_seed
from attacks._techniques import techniques
from attacks.probe import Card, Measurement, Status, Target
from attacks.tampering._attack import Scene, TamperingAttack
from attacks.tampering._judge import METRICS, Judge
from attacks.tampering._settings import PACKAGE, Settings
from attacks.tampering._weights import ForeignError, UnfitError

__all__ = ["CARD", "Settings", "run"]

CARD = Card(
    title="Weight tampering",
    summary="How accurate the model stays when stored weights are changed, by faults or by someone who can "
    "write to them, and how few flipped bits or how small a change does how much harm.",
    threat_model="Whoever can write: to the model's file, to the memory that holds it (Rowhammer), or nobody "
    "at all (faults). The searching attackers know the model and hold labelled data of their own; they "
    "change weights, and neither code nor architecture.",
    limits="What is found is an upper bound of what is needed: a better search may need less. Bits are "
    "flipped in int8 with one scale a tensor, or in floats, of weights with two or more dimensions; biases "
    "and norms are left alone. Which bits real memory lets someone flip is not modelled.",
    metrics=METRICS,
    papers=(
        "Hong et al. 2019, Terminal brain damage: exposing the graceless degradation in deep neural networks "
        "under hardware fault attacks, arXiv:1906.01017",
        "Rakin et al. 2019, Bit-flip attack: crushing neural network with progressive bit search, "
        "arXiv:1903.12269",
        "Rakin et al. 2021, T-BFA: targeted bit-flip adversarial weight attack, arXiv:2007.12336",
        "Garg et al. 2020, Can adversarial weight perturbations inject neural backdoors?, arXiv:2008.01761",
        "Tian et al. 2022, Stealthy backdoors as compression artifacts, arXiv:2104.15129",
    ),
    ids=("AML.T0018.000", "ML10:2023", "NISTAML.026"),
)


def run(target: Target, settings: Settings, generator: torch.Generator) -> Sequence[Measurement]:
    """The figures of every attack, on the audit examples; what attackers search by is their own.

    All is done on copies: the model's bytes are what they were. An attack that does not apply to the model,
    or fails, has rows that say so, and the others go on. Raises NotFiniteError if the model, untouched,
    returns NaN, ValueError if it has not a logit a class.
    """
    scene = Scene(target, settings, Judge(target, settings.examples), draw_seed(generator))
    known = techniques(PACKAGE, TamperingAttack)
    found: list[Measurement] = []
    for name in settings.attacks:
        try:
            found += known[name].run(scene)
        except UnfitError as reason:
            status: Status = "refused" if isinstance(reason, ForeignError) else "not_applicable"
            found += _without(name, known[name], status, str(reason))
        except Exception as error:  # one attack that crashes leaves the others' figures as they are
            reason_ = f"{type(error).__name__}: {str(error).strip() or 'no message'}"
            found += _without(name, known[name], "failed", reason_)
    return found


def _without(name: str, attack: TamperingAttack, status: Status, note: str) -> list[Measurement]:
    """The rows that would have been, each with the reason why it is not."""
    return [Measurement(metric, at={"attack": name}, status=status, note=note) for metric in attack.metrics]
