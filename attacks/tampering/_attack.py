"""What a tampering attack is given, and what it says of itself."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from attacks.probe import Examples, Measurement, Target
from attacks.tampering._weights import UnfitError

if TYPE_CHECKING:
    from attacks.tampering._judge import Judge
    from attacks.tampering._settings import Settings


@dataclass(frozen=True)
class Scene:
    """Attackers who can write to one model's weights: what they hold, and who judges what they did."""

    target: Target
    settings: "Settings"
    judge: "Judge"
    """Has the audit examples, which no attacker sees."""
    seed: int
    """Of all that is drawn at random; the same for every variant of a replicate."""

    def copy(self) -> nn.Module:
        """The model, to be changed at will: the one under audit is never touched."""
        model = copy.deepcopy(self.target.model)
        for parameter in model.parameters():
            parameter.data = parameter.data.contiguous()
        return model

    @cached_property
    def own(self) -> Examples:
        """The attacker's labelled examples, in the order in which they are used; apart from the audit
        examples. Raises UnfitError where there are none."""
        found = self.target.pool if self.target.pool is not None else self.target.members
        if found is None or not len(found):
            raise UnfitError("there are no data of the attacker's own (a pool, or training examples)")
        return found

    def batch(self, replicate: int, count: int | None = None) -> Examples:
        """What one attacker searches by: some of its examples, at random; (count, …) or all there are."""
        order = torch.randperm(len(self.own), generator=self.luck(replicate))
        some = order[: self.settings.search_examples if count is None else count]
        device = self.target.device
        return Examples(self.own.x[some].to(device), self.own.y[some].to(device))

    def luck(self, replicate: int) -> torch.Generator:
        """Of one attacker among several."""
        return torch.Generator().manual_seed((self.seed + 1_000_003 * replicate) % 2**31)

    def pair(self) -> tuple[int, int]:
        """Source and target class of the targeted attacks. Raises UnfitError where the model lacks one."""
        source, target = self.settings.source, self.settings.target
        if max(source, target) >= self.target.num_classes:
            raise UnfitError(
                f"source {source} and target {target}: the model has {self.target.num_classes} classes"
            )
        return source, target


@dataclass(frozen=True, slots=True)
class TamperingAttack:
    """One technique: its module's name is its name in plan and report."""

    run: Callable[[Scene], Sequence[Measurement]]
    metrics: tuple[str, ...]
    """What it measures: where it fails, each has a row that says so."""
    paper: str
    level: Literal["quick", "standard", "thorough"] | None = None
    """The lowest level of a plan that runs it; None: only plans that name it do."""
    cost: int = 0
    """Its place in the order of running, cheap ones first."""
    writes: Literal["bits", "weights", "nothing"] = "bits"
    """What the attacker changes."""


Loss = Callable[[Tensor], Tensor]
"""Logits of the attacker's batch, (N, classes) → what it wants to be large, one number."""
