"""What is done where an attack's health is in doubt: what still stands is attacked again, by other means.

Gradients come from a view of the model that has some (:mod:`attacks.evasion._views`); where they lie, they
are estimated; what gradients leave standing is attacked without any. Every find is checked against the model
itself. What this says of itself is written from what ran; what it could not settle is a flag of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from attacks.evasion import _search
from attacks.evasion._attack import AttackFailedError, Batch, EvasionAttack, reason
from attacks.evasion._settings import Settings
from attacks.evasion._views import DIRECTIONS, NEAR, Estimated, flat, misleading, seen, view_of
from attacks.evasion.apgd_t import ATTACK as APGD_T
from attacks.evasion.health import Evidence, Flag
from attacks.evasion.health._flag import SHARED, counted
from attacks.evasion.pgd import ATTACK as PGD
from attacks.evasion.rays import ATTACK as RAYS
from attacks.evasion.square import ATTACK as SQUARE
from attacks.evasion.sweep import Curve, Sweep, among_all

NAME = "cured"
UNCURED = "uncured"
"""The flag of what the cure left in doubt."""
ROUNDED = frozenset(
    (
        "softmax_outputs",
        "saturated_softmax",
        "float32_gradients",
        "zero_gradients",
        "noisy_loss",
        "wrong_gradients",
    )
)
"""Flags that float64 may cure."""
DRAWS = 16
"""Passes that a randomised model's outputs are averaged over."""
LONGER, STARTS = 2, 2
"""Times the steps and queries of what the plan ran already, and starts of it."""
MISLED = 0.1
"""The share of examples up to which a gradient may misjudge the loss: healthy networks have kinks."""


@dataclass(frozen=True, slots=True)
class Try:
    """One attack of the cure."""

    name: str
    attack: EvasionAttack
    settings: Settings
    view: nn.Module | None = None
    """What it sees in place of the model; None: the model itself, without gradients."""


@dataclass(slots=True)
class Cure:
    """The attack of one cure, which keeps count of what ran. Called as any attack is."""

    tries: Sequence[Try]
    ran: dict[str, int] = field(default_factory=dict)
    """By attack, how many it was given, an example at an ε counting as one."""
    broke: dict[str, int] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    blind: set[int] = field(default_factory=set)
    """Examples, by their seed, that gradients left standing at an ε and an attack without gradients broke."""

    def __call__(self, batch: Batch, settings: Settings) -> Tensor:
        """Each attack in turn on what those before it left standing. Raises AttackFailedError if none ran."""
        del settings  # each has its own
        found, left, any_ran = batch.x.clone(), torch.arange(len(batch), device=batch.x.device), False
        for one in self.tries:
            if len(left) == 0:
                break
            rest = batch.at(left, batch.eps[left])
            candidates = self._candidates(one, rest)
            if candidates is None:
                continue
            any_ran = True
            broken = _search.check(rest, candidates).broken
            self.ran[one.name] = self.ran.get(one.name, 0) + len(left)
            self.broke[one.name] = self.broke.get(one.name, 0) + int(broken.sum())
            if one.view is None:
                self.blind |= set(rest.seeds[broken, 0].tolist())
            found[left[broken]] = candidates[broken]
            left = left[~broken]
        if not any_ran and len(batch):
            raise AttackFailedError(f"the cure could not be run: {self.failures}")
        return found

    def _candidates(self, one: Try, rest: Batch) -> Tensor | None:
        try:
            shown = rest if one.view is None else seen(rest, one.view, one.settings.restarts)
            return one.attack.run(shown, one.settings)
        except (
            Exception
        ) as error:  # a foreign model, seen otherwise than it was made to be, may raise anything
            self.failed[one.name] = reason(error).splitlines()[0]
            return None

    @property
    def failures(self) -> str:
        """What could not be run, and why."""
        return "; ".join(f"{name} failed: {why}" for name, why in self.failed.items())

    @property
    def note(self) -> str:
        """What ran, on how much, and what it broke."""
        words = [f"{name} broke {self.broke[name]} of {count}" for name, count in self.ran.items()]
        return "; ".join([", ".join(words), *([self.failures] if self.failed else [])])


@dataclass(frozen=True, slots=True)
class Means:
    """What the cure has to see the model by."""

    view: nn.Module | None
    """The best view; None where none could be had."""
    misled: Tensor | None
    """Of the sample, for which examples even its gradient misleads, (n,) bool; None if there is no view."""
    estimated: bool
    sampled: bool
    """Whether that is from some directions only, rather than from every value of the input."""
    scores: bool
    """Whether the outputs say more than the decision."""
    words: str


def cured(
    found: Sweep,
    evidence: Evidence,
    flags: Mapping[str, Flag],
    attacks: Mapping[str, EvasionAttack],
    settings: Settings,
    batch_size: int,
) -> tuple[Sweep, Flag | None]:
    """The sweep with the cure's curve, which counts what broke before it and which the worst case takes in,
    and the flag of what stays in doubt; the sweep as it is and None if no flag is raised."""
    raised = [name for name, flag in flags.items() if flag.raised]
    if not raised:
        return found, None
    means = _means(evidence, raised)
    cure = Cure(_tries(means, found, attacks, settings, random="randomised" in raised))
    known = found.worst[:, found.right]
    together = any(one.attack.whole for one in cure.tries)
    size = max(len(found.batch), 1) if together else batch_size
    attack = EvasionAttack(cure, search="smallest", paper="Athalye et al. 2018", whole=together)
    try:
        broken, inferred = _search.bracketed(attack, found.batch, found.grid, known, settings, size)
    except AttackFailedError as error:
        after = replace(found, failed={**found.failed, NAME: str(error)})
    else:
        note = f"against {', '.join(raised)}: {means.words}; {cure.note or 'nothing was left to attack'}"
        curve = Curve(
            among_all(broken, found.right, True),
            after=tuple(found.curves),
            note=note,
            inferred=among_all(inferred, found.right, False),
        )
        after = replace(found, curves={**found.curves, NAME: curve}, worst=found.worst | curve.broken)
    places = (found.batch.seeds[:, 0] == evidence.batch.seeds[:, :1]).int().argmax(dim=1)
    standing = ~after.worst[0, found.right][places]
    return after, _uncured(evidence, standing, means, cure, len(found.batch), settings, raised)


def not_run(evidence: Evidence, error: Exception) -> Flag:
    """The flag of a cure that crashed."""
    hits = torch.ones_like(evidence.batch.y, dtype=torch.bool)
    return Flag(UNCURED, SHARED, hits, f"not measured soundly: the cure failed: {reason(error)}")


def _means(evidence: Evidence, raised: Sequence[str]) -> Means:
    """The view that suits the model, and whether its gradient can be believed; else one that estimates it."""
    batch, eps = evidence.batch, float(evidence.grid[0])
    scores, random = not flat(batch, eps), "randomised" in raised
    double = evidence.double if ROUNDED & set(raised) else None
    draws = DRAWS if random else 1
    dtype = torch.float64 if double is not None else batch.x.dtype
    try:
        view: nn.Module = view_of(batch, double or batch.model, dtype, draws)
        misled, estimated = misleading(batch, view, eps), False
        if not random and float(misled.double().mean()) > MISLED:
            other = Estimated(view, NEAR * eps)
            still = misleading(batch, other, eps)
            if batch.x[0].numel() > DIRECTIONS or int(still.sum()) < int(misled.sum()):
                view, misled, estimated = other, still, True
    except Exception as error:  # see Cure._candidates
        why = reason(error).splitlines()[0]
        return Means(None, None, False, False, scores, f"no gradient could be had ({why})")
    words = [
        "gradients estimated from differences of the outputs" if estimated
        else "gradients passed straight through what has none",
        "logits rescaled",
        *(["in float64"] if double is not None else []),
        *([f"outputs averaged over {draws} passes"] if random else []),
    ]  # fmt: skip
    sampled = estimated and batch.x[0].numel() > DIRECTIONS
    return Means(view, misled, estimated, sampled, scores, ", ".join(words))


def _tries(
    means: Means, found: Sweep, attacks: Mapping[str, EvasionAttack], settings: Settings, *, random: bool
) -> list[Try]:
    """PGD, APGD-T and what else the plan has that follows gradients, on the view; then Square, and RayS where
    scores say nothing, on the model itself. What the plan ran already runs longer, and PGD with it."""
    harder = settings.model_copy(update={"restarts": max(STARTS, settings.restarts)})

    def harder_of(name: str, attack: EvasionAttack) -> Settings:
        known = name in found.curves or name == "pgd"
        slow = random or means.estimated or not known
        return attack.longer(harder if known else settings, 1 if slow else LONGER)

    climbers = {"pgd": PGD, "apgd_t": APGD_T} | {
        name: attack
        for name, attack in attacks.items()
        if name in found.curves and attack.sees == "gradients" and attack.search != "distance"
    }
    if means.sampled or random:  # dozens of passes a step, for a figure that stays in doubt
        climbers = {"pgd": PGD}
    ordered = sorted(climbers.items(), key=lambda item: (item[1].cost, item[0]))
    tries = [
        Try(name, attack, harder_of(name, attack), means.view)
        for name, attack in ordered
        if means.view is not None
    ]
    tries.append(Try("square", SQUARE, SQUARE.longer(settings, LONGER)))
    if not means.scores:
        tries.append(Try("rays", RAYS, RAYS.longer(settings, LONGER)))
    return [one for one in tries if found.norm in one.attack.norms]


def _uncured(
    evidence: Evidence,
    standing: Tensor,
    means: Means,
    cure: Cure,
    count: int,
    settings: Settings,
    raised: Sequence[str],
) -> Flag:
    """Which of the sample still stand at the smallest ε (``standing``) without that being worth much."""
    everywhere = {
        "the outputs are random": "randomised" in raised,
        "the gradient is estimated from some directions only": means.sampled,
        "no attack along gradients ran": not any(
            one.view is not None and one.name in cure.ran for one in cure.tries
        )
        and bool(cure.ran or cure.failed),
        "attacks without gradients broke what gradients left": len(cure.blind) > SHARED * count,
    }
    why = [words for words, holds in everywhere.items() if holds]
    hits = standing.clone() if why else torch.zeros_like(standing)
    if not why and means.misled is not None and bool(standing.any()):
        if float(means.misled.double().mean()) > MISLED:
            hits |= means.misled & standing
            why.append("the gradient misleads")
        lost = _never_fooled(evidence.batch, standing, means.view, settings)
        if bool(lost.any()):
            hits |= lost
            why.append("not fooled although any input is allowed")
    what = f"not measured soundly: {'; '.join(why)}." if why else "still standing and not measured soundly."
    return Flag(UNCURED, SHARED, hits, counted(hits, what))


def _never_fooled(batch: Batch, standing: Tensor, view: nn.Module | None, settings: Settings) -> Tensor:
    """Which of the examples that stand the cure's PGD does not break in a ball without bounds, (N,) bool."""
    index = torch.nonzero(standing).squeeze(1)
    free = batch.at(index, _search.widest(batch).expand(len(index)))
    longer = settings.model_copy(update={"restarts": STARTS})
    broken = _search.check(free, Cure([Try("pgd", PGD, longer, view)])(free, longer)).broken
    lost = torch.zeros_like(standing)
    lost[index] = ~broken
    return lost
