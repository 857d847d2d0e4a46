"""What is done where an attack's health is in doubt: what still stands is attacked again, by other means.

Gradients come from a view of the model that has some (:mod:`attacks.evasion._means`); where they lie, they
are estimated; what gradients leave standing is attacked without any. Every find is checked against the model
itself. What this says of itself is written from what ran; what it could not settle is a flag of its own
(:mod:`attacks.evasion._uncured`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attacks.evasion import _search
from attacks.evasion._attack import AttackFailedError, Batch, EvasionAttack, reason
from attacks.evasion._curves import among_all
from attacks.evasion._effort import Effort
from attacks.evasion._means import Means, found_again, raised_in
from attacks.evasion._pieces import Ground, key
from attacks.evasion._settings import Settings
from attacks.evasion._transfer import from_twin
from attacks.evasion._views import seen
from attacks.evasion.apgd_t import ATTACK as APGD_T
from attacks.evasion.health._evidence import sample
from attacks.evasion.pgd import ATTACK as PGD
from attacks.evasion.rays import ATTACK as RAYS
from attacks.evasion.square import ATTACK as SQUARE
from attacks.probe import Part

NAME = "cured"
BLIND = ("dense", "square", "rays")
"""The attacks of the cure that do not follow the model's gradients."""
LONGER, STARTS = 2, 2
"""Times the steps and queries of what the plan ran already, and starts of it."""


@dataclass(frozen=True, slots=True)
class Try:
    """One attack of the cure."""

    name: str
    attack: EvasionAttack
    settings: Effort
    view: nn.Module | None = None
    """What it sees in place of the model; None: the model itself, without gradients."""
    price: float = 0.0
    """Passes, forward and backward, that it takes of an example at an ε, roughly."""


@dataclass(slots=True)
class Cure:
    """The attack of one cure, which keeps count of what ran. Called as any attack is."""

    tries: Sequence[Try]
    limit: float = torch.inf
    """Passes that an example may take, at all ε together: what would take it further is not begun."""
    spent: dict[int, float] = field(default_factory=dict)
    """By example (its seed)."""
    short: set[int] = field(default_factory=set)
    """Examples for which something was not begun."""
    ran: dict[str, int] = field(default_factory=dict)
    """By attack, how many it was given, an example at an ε counting as one."""
    broke: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    blind: set[int] = field(default_factory=set)
    """Examples that gradients left standing at an ε and an attack without gradients broke."""

    def __call__(self, batch: Batch, effort: Effort) -> Tensor:
        """Each attack in turn on what those before it left standing. Raises AttackFailedError if none ran."""
        del effort  # each has its own
        found, left, fine = batch.x.clone(), torch.arange(len(batch), device=batch.x.device), False
        for one in self.tries:
            within = self._within(one, batch.seeds[left, 0])
            fine |= not bool(within.all())
            index = left[within]
            if len(index) == 0:
                continue
            rest = batch.at(index, batch.eps[index])
            candidates = self._candidates(one, rest)
            if candidates is None:
                continue
            fine = True
            broken = _search.check(rest, candidates).broken
            self.ran[one.name] = self.ran.get(one.name, 0) + len(index)
            self.broke[one.name] = self.broke.get(one.name, 0) + int(broken.sum())
            if one.view is None:
                self.blind |= set(rest.seeds[broken, 0].tolist())
            found[index[broken]] = candidates[broken]
            still = torch.ones_like(left, dtype=torch.bool)
            still[within] = ~broken
            left = left[still]
        if not fine and len(batch):
            failures = "; ".join(f"{name} failed: {why}" for name, why in self.failed.items())
            raise AttackFailedError(f"the cure could not be run: {failures}")
        return found

    def _within(self, one: Try, seeds: Tensor) -> Tensor:
        """Which examples have passes enough left for one attack more, (N,) bool; they are spent."""
        keys = seeds.tolist()
        within = [self.spent.get(seed, 0.0) + one.price <= self.limit for seed in keys]
        for seed, fits in zip(keys, within, strict=True):
            if fits:
                self.spent[seed] = self.spent.get(seed, 0.0) + one.price
            else:
                self.short.add(seed)
        return torch.tensor(within, dtype=torch.bool, device=seeds.device)

    def _candidates(self, one: Try, rest: Batch) -> Tensor | None:
        try:
            shown = rest if one.view is None else seen(rest, one.view, one.settings.restarts)
            return one.attack.run(shown, one.settings)
        except (
            Exception
        ) as error:  # a foreign model, seen otherwise than it was made to be, may raise anything
            self.failed[one.name] = reason(error).splitlines()[0]
            return None


def cured(ground: Ground, norm: str, block: range) -> Part:
    """The cure of some test examples in one norm, as arrays; nothing where no flag is raised."""
    if not raised_in(ground, norm):
        return {}
    found, settings, batch = ground.sweeps[norm], ground.settings, ground.block(norm, block)
    here = slice(block.start, block.stop)
    right = found.right[here]
    how = found_again(ground, norm)
    view = how.view(ground.start.model, batch) if len(batch) else None
    cure = Cure(tries(how, view, ground, norm), settings.cure_passes)
    together = any(one.attack.together for one in cure.tries)
    size = max(len(batch), 1) if together else ground.target.batch_size
    attack = EvasionAttack(cure, search="smallest", paper="Athalye et al. 2018", together=together)
    known = found.worst[:, here][:, right]
    arrays: dict[str, NDArray[np.generic]] = {}
    try:
        broken, inferred = _search.bracketed(attack, batch, found.grid, known, settings, size)
    except AttackFailedError as error:
        broken = known
        arrays[key(norm, NAME, "failed")] = np.array([str(error)])
    else:
        arrays[key(norm, NAME, "broken")] = among_all(broken, right, True).cpu().numpy()
        arrays[key(norm, NAME, "inferred")] = among_all(inferred, right, False).cpu().numpy()
    for one in cure.tries:
        arrays[key(norm, NAME, one.name, "ran")] = np.array([cure.ran.get(one.name, 0)])
        arrays[key(norm, NAME, one.name, "broke")] = np.array([cure.broke.get(one.name, 0)])
        if one.name in cure.failed:
            arrays[key(norm, NAME, one.name, "failed")] = np.array([cure.failed[one.name]])
    seeds = batch.seeds[:, 0].tolist()
    for name, kept in (("blind", cure.blind), ("short", cure.short)):
        hits = torch.tensor([seed in kept for seed in seeds], dtype=torch.bool, device=right.device)
        arrays[key(norm, NAME, name)] = among_all(hits, right, False).cpu().numpy()
    lost = torch.zeros_like(broken[0])
    if view is not None and not (how.random or how.sampled):
        lost = _lost(batch, _of_sample(ground, block) & ~broken[0], view, settings)
    arrays[key(norm, NAME, "lost")] = among_all(lost, right, False).cpu().numpy()
    return arrays


def cure(ground: Ground, some: range) -> Part:
    """The cure of some test examples in every norm."""
    return ground.each(
        ground.blocks(some), NAME,
        lambda block: ground.every_norm(lambda norm: cured(ground, norm, block), key(NAME, "crashed")),
    )  # fmt: skip


def tries(how: Means, view: nn.Module | None, ground: Ground, norm: str) -> list[Try]:
    """PGD, APGD-T and what else the plan has that follows gradients, on the view; then Square, RayS where
    scores say nothing, and what fools the dense model where gradients do not tell, on the model itself. What
    the plan ran already runs longer, and PGD with it."""
    found, settings = ground.sweeps[norm], ground.settings
    harder = settings.model_copy(update={"restarts": max(STARTS, settings.restarts)})

    def harder_of(name: str, attack: EvasionAttack) -> Effort:
        known = name in found.curves or name == "pgd"
        slow = how.random or how.estimated or not known
        return attack.longer(harder if known else settings, 1 if slow else LONGER)

    climbers = {"pgd": PGD, "apgd_t": APGD_T} | {
        name: attack
        for name, attack in ground.attacks.items()
        if name in found.curves and attack.sees == "gradients" and attack.search != "distance"
    }
    if how.sampled or how.random:  # dozens of passes a step, for a figure that stays in doubt
        climbers = {"pgd": PGD}
    planned = [(name, attack, harder_of(name, attack), view) for name, attack in climbers.items()]
    planned = [] if view is None else sorted(planned, key=lambda one: (one[1].cost, one[0]))
    if ground.target.twin is not None and (view is None or how.estimated or not how.scores):
        planned.append(("dense", from_twin(lambda: ground.twin), settings, None))
    planned.append(("square", SQUARE, SQUARE.longer(settings, LONGER), None))
    if not how.scores:
        planned.append(("rays", RAYS, RAYS.longer(settings, LONGER), None))
    return [
        Try(name, attack, own, seen, attack.passes(own) * (1.0 if seen is None else how.price))
        for name, attack, own, seen in planned
        if norm in attack.norms
    ]


def _of_sample(ground: Ground, block: range) -> Tensor:
    """Which of the block's examples that the model gets right are in the sample of the checks, bool."""
    inside = torch.zeros(int(ground.right.sum()), dtype=torch.bool, device=ground.right.device)
    inside[sample(len(inside)).to(inside.device)] = True
    return inside[ground.places(block)]


def _lost(batch: Batch, wanted: Tensor, view: nn.Module, settings: Settings) -> Tensor:
    """Which of those wanted, (N,) bool, the cure's PGD does not break in a ball without bounds."""
    index = torch.nonzero(wanted).squeeze(1)
    lost = torch.zeros_like(wanted)
    if len(index) == 0:
        return lost
    free = batch.at(index, _search.widest(batch).expand(len(index)))
    longer = settings.model_copy(update={"restarts": STARTS})
    lost[index] = ~_search.check(free, Cure([Try("pgd", PGD, longer, view)])(free, longer)).broken
    return lost
