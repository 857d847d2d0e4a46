"""The one gate through which every query goes: it counts, refuses what is beyond the budget, and answers."""

import torch
from torch import Tensor
from torch.nn import functional as F

from attacks._model import checked
from attacks.extraction._attack import OverBudgetError
from attacks.extraction._settings import Settings
from attacks.probe import Target

CHUNK = 256
"""Inputs that go through the victim at a time: one number for all, since the last bit depends on it."""


def probabilities(outputs: Tensor) -> bool:
    """Whether a model's outputs (N, classes) are probabilities already, where logits are expected."""
    inside = bool(((outputs >= 0) & (outputs <= 1)).all())
    return inside and bool(((outputs.double().sum(dim=1) - 1).abs() < 1e-4).all())


class Gate:
    """A victim's interface. ``opened`` is the number of queries allowed in all, ``spent`` those sent."""

    def __init__(self, target: Target, settings: Settings, *, soft: bool) -> None:
        """``soft``: the victim returns probabilities, to which a softmax would do harm."""
        self._target, self._settings, self._soft = target, settings, soft
        self._named = torch.zeros(target.num_classes, dtype=torch.bool)
        self.opened = 0
        self.spent = 0

    def open(self, budget: int) -> None:
        """Allow so many queries in all."""
        self.opened = budget

    @torch.no_grad()
    def ask(self, x: Tensor) -> Tensor:
        """Probability vectors (N, classes) float32 for inputs (N, …), on the victim's device.

        Rounded answers are scaled to sum to 1 again, as an attacker would; one that rounds to nothing says
        nothing, and becomes uniform. Raises OverBudgetError before the victim sees anything, NotFiniteError
        if it returns NaN.
        """
        if self.spent + len(x) > self.opened:
            raise OverBudgetError(
                f"asked for {self.spent + len(x):,} queries where the budget is {self.opened:,}"
            )
        self.spent += len(x)
        outputs = torch.cat([self._outputs(part) for part in torch.split(x, CHUNK)])
        soft = outputs.double() if self._soft else outputs.double().softmax(dim=1)
        likeliest = outputs.argmax(dim=1)
        self._named[likeliest.cpu()] = True
        if self._settings.answers == "label":
            soft = F.one_hot(likeliest, outputs.shape[1]).double()
        elif self._settings.answers == "rounded":
            soft = soft.round(decimals=self._settings.decimals)
            soft[soft.sum(dim=1) == 0] = 1.0
        return (soft / soft.sum(dim=1, keepdim=True)).float()

    def remarks(self) -> tuple[str, ...]:
        """What a reader of the figures should know of the answers so far."""
        absent = torch.nonzero(~self._named).flatten().tolist()
        shown = ", ".join(map(str, absent[:10])) + ("…" if len(absent) > 10 else "")
        of_classes = f"the answers never name {len(absent)} of {len(self._named)} classes: {shown}"
        as_is = "the victim returns probabilities, which are taken as they are"
        return (as_is,) * self._soft + (of_classes,) * bool(absent)

    def _outputs(self, x: Tensor) -> Tensor:
        if len(x) == 0:
            return torch.zeros(0, self._target.num_classes)
        return checked(self._target.model(x.to(self._target.device)))
